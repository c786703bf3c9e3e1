import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { imageNotice } from '../../../src/controlplane/image-messages.ts'
import { ImageSync, type TellableImage, type ToldImages } from '../../../src/controlplane/image-sync.ts'
import { registerNodeRequest } from '../../../src/controlplane/registration.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { imageId } from '../../../src/images/library/image-ids.ts'
import { createConnectClient, type ConnectClient } from '../../../src/platform/connect-client.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { registerNode } from '../../control-plane/schemas.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { until } from '../../support/until.ts'
import { image } from '../grpc/fake-services.ts'
import { FakePace } from './fake-pace.ts'
import { FACTS } from './link-fixture.ts'

let cp: StandInControlPlane
let client: ConnectClient
let pace: FakePace
let dir: string
let images: TellableImage[]
let gone: Set<string>
let sync: ImageSync
let changed: () => void

const disk = (file: string, change: Partial<TellableImage> = {}): TellableImage => ({
  ...image,
  id: imageId({ poolId: '', nodeId: 'n', path: `/images/${file}` }),
  poolId: '',
  relativePath: file,
  path: `/images/${file}`,
  fileName: file,
  place: '/images',
  shared: false,
  ...change,
})
const iso = (poolId: string, relativePath: string, change: Partial<TellableImage> = {}): TellableImage => ({
  ...disk(relativePath.slice(relativePath.lastIndexOf('/') + 1)),
  id: imageId({ poolId, nodeId: 'n', path: relativePath }),
  poolId,
  relativePath,
  path: `/pools/${poolId}/${relativePath}`,
  format: 'iso',
  folder: relativePath.startsWith('iso/') ? '/iso' : '/',
  place: poolId,
  ...change,
})

beforeEach(async () => {
  dir = await mkdtemp(path.join(tmpdir(), 'lqx-image-sync-'))
  cp = await startStandInControlPlane()
  client = createConnectClient({ baseUrl: cp.url })
  images = []
  gone = new Set()
  begin()
})
afterEach(async () => {
  await sync.stop()
  await client.close()
  await cp.close()
  await rm(dir, { recursive: true })
})

function begin(): void {
  pace = new FakePace()
  sync = new ImageSync({
    client,
    images: {
      list: () => images,
      isGone: (_place, file) => gone.has(file),
      onChange(listener) {
        changed = listener
        return () => undefined
      },
    },
    store: openStateStore(dir, silentLogger).collection<ToldImages>('told-images'),
    pace,
    log: silentLogger,
  })
}

const register = () => cp.fleet.register(registerNode.parse(registerNodeRequest(FACTS, {}))).node.id
const bodies = (method: string) => cp.requests.filter((one) => one.method === method).map(({ body }) => body)
const notices = () => bodies('notify') as { event_type: string; path: string }[]
/** Lets the sync run until it has asked `count` times. */
const asked = async (count: number) => {
  await until(async () => {
    pace.advance(1_000)
    return cp.requests.length >= count
  })
  expect(cp.requests).toHaveLength(count)
}

/** Lets the sync look again a few times. */
const passTime = async () => {
  for (let n = 0; n < 6; n++) await pace.skip()
  await pace.untilAsleep()
}

describe('images told to a control plane', () => {
  test('are told after a registration: disk images once, ISOs one by one; again after the next registration', async () => {
    images = [disk('a.qcow2'), iso('p1', 'iso/debian.iso'), disk('shared.qcow2', { shared: true })]
    const nodeId = register()
    sync.registered(nodeId)
    await asked(2)
    expect(bodies('ScanLocalImages')).toMatchObject([
      { nodeId, images: [{ path: '/images/a.qcow2', detectedOs: { family: 1, provisioningMethod: 1 } }] },
    ])
    expect(notices()).toMatchObject([
      {
        event_type: 'created',
        node_id: nodeId,
        id: imageId({ poolId: 'p1', nodeId: '', path: 'iso/debian.iso' }),
        path: 'iso/debian.iso',
        folder_path: '/iso',
        storage_pool_id: 'p1',
      },
    ])
    changed()
    await passTime()
    expect(cp.requests).toHaveLength(2)
    sync.registered(nodeId)
    await asked(4)
    expect(cp.violations).toEqual([])
  })

  test('are told when they change and when they are gone, also what went while the agent was away', async () => {
    images = [disk('a.qcow2'), iso('p1', 'iso/debian.iso')]
    const nodeId = register()
    sync.registered(nodeId)
    await asked(2)
    images = [disk('a.qcow2'), iso('p1', 'iso/debian.iso', { sizeBytes: 5 }), disk('b.qcow2')]
    changed()
    await asked(4)
    expect(notices().map(({ event_type }) => event_type)).toEqual(['created', 'updated'])
    await sync.stop()
    begin()
    images = [disk('a.qcow2'), disk('b.qcow2')]
    gone = new Set(['/pools/p1/iso/debian.iso'])
    sync.registered(nodeId)
    await asked(6)
    expect(notices().at(-1)).toMatchObject({ event_type: 'deleted', path: 'iso/debian.iso' })
    expect([...cp.fleet.images.values()].map((one) => one.path).sort()).toEqual(['/images/a.qcow2', '/images/b.qcow2'])
    expect(cp.violations).toEqual([])
  })

  test('what cannot be seen is not told to be gone', async () => {
    images = [iso('p1', 'iso/debian.iso')]
    sync.registered(register())
    await asked(1)
    images = []
    changed()
    await passTime()
    expect(cp.requests).toHaveLength(1)
  })

  test('ISOs keep the records that the control plane makes itself, and lose none to its scan', async () => {
    images = [
      iso('p1', 'iso/debian.iso'),
      iso('p1', 'iso/linux/deep.iso'),
      iso('p1', 'tools.iso'),
      iso('p1', 'iso/same.iso'),
      iso('p2', 'iso/same.iso'),
    ]
    const nodeId = register()
    sync.registered(nodeId)
    await asked(3)
    expect(cp.fleet.scanIsos(nodeId, 'p1', ['debian.iso', 'same.iso'])).toEqual([])
    expect([...cp.fleet.images.values()].map((one) => one.path).sort()).toEqual([
      '/pools/p1/iso/linux/deep.iso',
      '/pools/p1/tools.iso',
      'iso/debian.iso',
      'iso/same.iso',
    ])
  })

  test('a control plane without the methods is asked once per registration', async () => {
    cp.setFault({ kind: 'answer', status: 501, body: '' }, 'ScanLocalImages')
    cp.setFault({ kind: 'answer', status: 404, body: '' }, 'notify')
    images = [disk('a.qcow2'), iso('p1', 'iso/a.iso'), iso('p1', 'iso/b.iso')]
    const nodeId = register()
    sync.registered(nodeId)
    await asked(2)
    images = [...images, disk('b.qcow2')]
    changed()
    await passTime()
    expect(cp.requests).toHaveLength(2)
    cp.setFault(undefined, 'ScanLocalImages')
    cp.setFault(undefined, 'notify')
    sync.registered(nodeId)
    await asked(5)
  })

  test('one that is away hears of it when it is back', async () => {
    cp.setFault({ kind: 'answer', status: 503, body: '' })
    images = [disk('a.qcow2')]
    sync.registered(register())
    await until(async () => {
      pace.advance(1_000)
      return cp.requests.length >= 3
    })
    cp.setFault(undefined)
    await until(async () => {
      pace.advance(10_000)
      return cp.fleet.images.size === 1
    })
  })

  test('one refusal does not silence the rest', async () => {
    const catalog = disk('x.iso', { format: 'iso' })
    const nodeId = register()
    cp.fleet.images.set(`${nodeId} ${catalog.path}`, { nodeId, path: catalog.path, catalogId: 'x' })
    images = [catalog, iso('p1', 'iso/b.iso')]
    sync.registered(nodeId)
    await asked(2)
    expect(cp.fleet.images.has(`${nodeId} iso/b.iso`)).toBe(true)
    await passTime()
    expect(cp.requests).toHaveLength(2)
  })
})

test('a notification has exactly the keys of the contract', () => {
  expect(imageNotice(iso('p1', 'iso/debian.iso', { checksum: '' }))).toEqual({
    id: imageId({ poolId: 'p1', nodeId: '', path: 'iso/debian.iso' }),
    name: 'debian-12',
    filename: 'debian.iso',
    folder_path: '/iso',
    size_bytes: 1000,
    format: 'iso',
    storage_pool_id: 'p1',
    path: 'iso/debian.iso',
    os_family: 'linux',
    os_distribution: 'debian',
    os_version: '12',
  })
})
