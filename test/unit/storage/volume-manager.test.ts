import { beforeEach, describe, expect, onTestFinished, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import type { OpContext } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { placeOf } from '../../../src/core/model.ts'
import type { VolumeSpec } from '../../../src/storage/backend.ts'
import type { PoolUser } from '../../../src/storage/pool-access.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { createVolumeManager, type VolumeManager } from '../../../src/storage/volume-manager.ts'
import { memoryPools, memoryStorage } from '../../conformance/memory-pool.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { recordingLogger } from '../../conformance/recording-logger.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'
import { reasonOf } from './fixture.ts'

const POOL = 'pool-1'
let ctx: OpContext
let volumes: VolumeManager
let users: () => Promise<PoolUser[]>

beforeEach(async () => {
  ctx = { signal: AbortSignal.timeout(15_000), log: recordingLogger() }
  const environment = storageEnvironment('/nowhere')
  const factories = [memoryPools(new Map([['one', memoryStorage()]]))]
  const pools = new PoolManager({ factories, environment, store: memoryCollection<PoolRecord>() })
  onTestFinished(() => {
    pools.stop()
    environment.io.close()
  })
  users = () => Promise.resolve([])
  pools.addUserSource(() => users())
  await pools.init({ poolId: POOL, kind: 'LOCAL_LVM', options: { storage: 'one' } }, ctx)
  volumes = createVolumeManager(pools)
})

const spec = (name: string, content: VolumeSpec['content'] = { type: 'empty' }): VolumeSpec => ({
  name,
  format: 'raw',
  sizeBytes: 64 * MIB,
  content,
  owner: 'volume:1',
})

async function makeUsed(access?: PoolUser['access']): Promise<void> {
  const { source } = await volumes.create(POOL, spec('disk'), ctx)
  await volumes.createSnapshot(POOL, 'disk', 'before', ctx)
  const user = { name: 'VM web-1', owner: 'vm:1', path: placeOf(source), ...(access === undefined ? {} : { access }) }
  users = () => Promise.resolve([user, { ...user, path: '/elsewhere' }])
}

describe.each([
  ['writes', { clone: 'VOLUME_IN_USE', change: 'VOLUME_IN_USE' }],
  [undefined, { clone: 'VOLUME_IN_USE', change: 'VOLUME_IN_USE' }],
  ['reads', { clone: 'no error', change: 'VOLUME_IN_USE' }],
  ['idle', { clone: 'no error', change: 'no error' }],
] as const)('a volume whose user %s', (access, expected) => {
  test('is cloned, changed and deleted as that allows', async () => {
    await makeUsed(access)
    expect(await reasonOf(volumes.create(POOL, spec('copy', { type: 'clone', volume: 'disk' }), ctx))).toBe(
      expected.clone,
    )
    expect(await reasonOf(volumes.resize(POOL, 'disk', 128 * MIB, ctx))).toBe(expected.change)
    expect(await reasonOf(volumes.createSnapshot(POOL, 'disk', 'now', ctx))).toBe(expected.change)
    expect(await reasonOf(volumes.deleteSnapshot(POOL, 'disk', 'before', ctx))).toBe(expected.change)
    expect(await reasonOf(volumes.delete(POOL, 'disk', ctx))).toBe('VOLUME_IN_USE')
  })

  test('gives clones of its snapshots', async () => {
    await makeUsed(access)
    const clone = spec('copy', { type: 'clone', volume: 'disk', snapshot: 'before' })
    expect((await volumes.create(POOL, clone, ctx)).name).toBe('copy')
  })
})

test('who deals with the users of a volume itself may resize it', async () => {
  await makeUsed('writes')
  expect((await volumes.resize(POOL, 'disk', 128 * MIB, ctx, 'vm:1')).virtualSizeBytes).toBe(128 * MIB)
  expect(await reasonOf(volumes.resize(POOL, 'disk', 256 * MIB, ctx, 'vm:2'))).toBe('VOLUME_IN_USE')
})

test('a list names users, and says so when they cannot be told', async () => {
  await makeUsed('idle')
  await volumes.create(POOL, spec('free'), ctx)
  expect((await volumes.list(POOL, ctx)).map(({ name, users: named }) => [name, named])).toEqual([
    ['disk', ['VM web-1']],
    ['free', []],
  ])
  users = () => Promise.reject(new AgentError('LIBVIRT_UNAVAILABLE', 'no connection'))
  expect((await volumes.list(POOL, ctx)).map(({ users: named }) => named)).toEqual([undefined, undefined])
  expect(await reasonOf(volumes.delete(POOL, 'free', ctx))).toBe('LIBVIRT_UNAVAILABLE')
})

test('snapshots are listed, and gone with their volume', async () => {
  await volumes.create(POOL, spec('disk'), ctx)
  await volumes.createSnapshot(POOL, 'disk', 'one', ctx)
  expect(await volumes.listSnapshots(POOL, 'disk', ctx)).toMatchObject([{ name: 'one' }])
  expect(await reasonOf(volumes.createSnapshot(POOL, 'disk', 'a/b', ctx))).toBe('INVALID_NAME')
  expect(await reasonOf(volumes.createSnapshot(POOL, 'none', 'one', ctx))).toBe('VOLUME_NOT_FOUND')
  await volumes.delete(POOL, 'disk', ctx)
  expect(await volumes.deleteSnapshot(POOL, 'disk', 'one', ctx)).toBe('already-deleted')
})
