import { mkdir, rm, symlink, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { MIB } from '../../../src/core/bytes.ts'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { BackupManifests } from '../../../src/storage/backup-manifests.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import type { ActivePool } from '../../../src/storage/pool-access.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { tempBase, testEnvironment, tool } from './local-fixture.ts'

const missing = await requirePrerequisite(
  'local-pool',
  async () => missingRoot() ?? (await missingCommand('qemu-img', 'mount', 'umount', 'mkfifo')()),
)

describe.skipIf(missing !== undefined)('manifests in a pool', () => {
  let base: string
  let ctx: OpContext
  let environment: StorageEnvironment
  let pools: PoolManager
  let pool: ActivePool
  let manifests: BackupManifests
  let answers: number
  beforeEach(async () => {
    base = await tempBase()
    ctx = { signal: AbortSignal.timeout(100_000), log: silentLogger }
    environment = testEnvironment(base)
    const store = openStateStore(`${base}/state`, silentLogger).collection<PoolRecord>('pools')
    pools = new PoolManager({ factories: poolBackends(environment), environment, store })
    await pools.start()
    await pools.init({ poolId: 'p1', kind: 'LOCAL_DIR', options: { path: `${base}/pool` } }, ctx)
    pool = await pools.require('p1', ctx)
    answers = 0
    manifests = new BackupManifests({
      call: (target, method, params, options) => {
        answers++
        return environment.io.call(target, method, params, options)
      },
    })
  })
  afterEach(async () => {
    pools.stop()
    environment.io.close()
    await rm(base, { recursive: true })
  })
  const file = (name: string) => path.join(base, 'pool/.limiquantix/backups', name)
  const read = async (prefix = '') =>
    (await manifests.read(pool, prefix, ctx)).map(({ name, text, problem, passing }) => [
      name,
      text?.length ?? (passing ? `passing: ${problem}` : problem),
    ])

  test('are read in as many answers as their sizes take, each once, and named in one', async () => {
    expect(await read()).toEqual([])
    expect(await manifests.names(pool, ctx)).toEqual({ manifests: [], volumes: [] })
    const names = Array.from({ length: 7 }, (_, index) => `vm-${index}.n`)
    for (const name of names) await manifests.write(pool, name, 'x'.repeat(3 * MIB), ctx)
    await manifests.write(pool, 'other.n', 'y', ctx)
    answers = 0
    expect(await read('vm-')).toEqual(names.map((name) => [name, 3 * MIB]))
    expect(answers).toBeGreaterThan(2)
    expect(await read()).toHaveLength(8)
    const spec = { name: 'a/b.c', format: 'raw', sizeBytes: MIB, content: { type: 'empty' }, owner: 'vm:1' } as const
    await pool.backend.createVolume(spec, ctx)
    answers = 0
    expect(await manifests.names(pool, ctx)).toEqual({ manifests: ['other.n', ...names], volumes: ['a/b.c'] })
    expect(answers).toBe(1)
    for (const name of [...names, 'other.n']) await manifests.remove(pool, name, ctx)
    expect(await read()).toEqual([])
  })

  test('that cannot be read now are told apart from damaged ones, and what is no file is none', async () => {
    await manifests.write(pool, 'good.n', 'fine', ctx)
    await manifests.write(pool, 'sick.n', 'fine', ctx)
    await mkdir(file('directory.n.json'))
    await tool('mkfifo', file('fifo.n.json'))
    await symlink('/etc/passwd', file('link.n.json'))
    await writeFile(file('huge.n.json'), 'x'.repeat(5 * MIB))
    // Nothing is mapped at address 0: a read of it is EIO, as of a bad sector.
    await tool('mount', '--bind', `/proc/${process.pid}/mem`, file('sick.n.json'))
    try {
      expect(await read()).toEqual([
        ['good.n', 4],
        ['huge.n', expect.stringContaining('bytes')],
        ['link.n', 'it cannot be read (ELOOP)'],
        ['sick.n', expect.stringMatching(/^passing: .*EIO/)],
      ])
    } finally {
      await tool('umount', file('sick.n.json'))
    }
    expect(await read('sick.')).toEqual([['sick.n', 4]])
  })
})
