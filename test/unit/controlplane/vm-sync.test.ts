import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { syncedVm, VmSync } from '../../../src/controlplane/vm-sync.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { VmInfo } from '../../../src/core/model.ts'
import { createConnectClient, type ConnectClient } from '../../../src/platform/connect-client.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { FACTS } from './link-fixture.ts'
import { registerNodeRequest } from '../../../src/controlplane/registration.ts'
import { registerNode } from '../../control-plane/schemas.ts'
import { FakePace } from './fake-pace.ts'

const ONE = '11111111-1111-4111-8111-111111111111'
const TWO = '22222222-2222-4222-8222-222222222222'

let cp: StandInControlPlane
let client: ConnectClient
let pace: FakePace
let vms: VmInfo[] | undefined
let changed: () => void
let sync: VmSync | undefined
let nodeId: string

beforeEach(async () => {
  cp = await startStandInControlPlane()
  client = createConnectClient({ baseUrl: cp.url })
  pace = new FakePace()
  vms = []
  nodeId = register()
})
afterEach(async () => {
  await sync?.stop()
  await client.close()
  await cp.close()
})

function register(): string {
  return cp.fleet.register(registerNode.parse(registerNodeRequest(FACTS, {}))).node.id
}

function start(importForeign = true): VmSync {
  sync = new VmSync({
    client,
    vms: {
      list() {
        if (vms === undefined) throw new AgentError('LIBVIRT_UNAVAILABLE', 'libvirt is away')
        return vms
      },
      onChange(listener) {
        changed = listener
        return () => undefined
      },
    },
    importForeign,
    pace,
    log: silentLogger,
  })
  return sync
}

function vm(vmId: string, change: Partial<VmInfo> = {}): VmInfo {
  const disk = {
    id: 'd',
    targetDev: 'vda',
    bus: 'virtio',
    format: 'qcow2',
    sizeBytes: 1,
    readonly: false,
    bootable: true,
  }
  return {
    vmId,
    name: `vm-${vmId.slice(0, 1)}`,
    state: 'RUNNING',
    managed: true,
    cpuCount: 2,
    memoryBytes: 512 * 2 ** 20,
    labels: {},
    disks: [{ ...disk, path: '/srv/pool/vms/a/d.qcow2' }],
    observedAt: 1,
    ...change,
  }
}

const calls = () => cp.requests.filter(({ method }) => method === 'SyncNodeVMs').map(({ body }) => body)

/** One pause for changes to settle, and the call after it. */
async function told(signal: AbortSignal): Promise<unknown> {
  const call = cp.waitForRequest('SyncNodeVMs', signal)
  await pace.skip()
  return (await call).body
}

describe('VMs for the control plane', () => {
  test('all are told after a registration, with real sizes', async ({ signal }) => {
    vms = [vm(ONE), vm(TWO, { state: 'STOPPED', cpuCount: 8 })]
    start().registered(nodeId)
    expect(await told(signal)).toEqual({
      nodeId,
      vms: [
        {
          id: ONE,
          name: 'vm-1',
          state: 'running',
          cpuCores: 2,
          memoryMib: 512,
          diskPaths: ['/srv/pool/vms/a/d.qcow2'],
        },
        {
          id: TWO,
          name: 'vm-2',
          state: 'stopped',
          cpuCores: 8,
          memoryMib: 512,
          diskPaths: ['/srv/pool/vms/a/d.qcow2'],
        },
      ],
    })
    expect(cp.violations).toEqual([])
  })

  test('one that comes later is told alone, a change of a known one is not told', async ({ signal }) => {
    vms = [vm(ONE)]
    start().registered(nodeId)
    await told(signal)
    vms = [vm(ONE, { state: 'PAUSED' })]
    changed()
    await pace.skip()
    vms = [vm(ONE), vm(TWO)]
    changed()
    expect(await told(signal)).toMatchObject({ vms: [{ id: TWO }] })
    expect(calls()).toHaveLength(2)
  })

  test('a control plane that forgot everything is told everything again', async ({ signal }) => {
    vms = [vm(ONE)]
    const running = start()
    running.registered(nodeId)
    await told(signal)
    cp.forgetEverything()
    running.registered(register())
    expect(await told(signal)).toMatchObject({ vms: [{ id: ONE }] })
  })

  test('nothing is told while libvirt is away, all when it is back', async ({ signal }) => {
    vms = undefined
    start().registered(nodeId)
    await pace.skip()
    await pace.untilAsleep(0)
    expect(calls()).toEqual([])
    vms = [vm(ONE)]
    changed()
    expect(await told(signal)).toMatchObject({ vms: [{ id: ONE }] })
  })

  test('foreign domains are kept back when that is configured', async ({ signal }) => {
    vms = [vm(ONE, { managed: false }), vm(TWO)]
    start(false).registered(nodeId)
    expect(await told(signal)).toMatchObject({ vms: [{ id: TWO }] })
  })

  test('a failure is repeated', async ({ signal }) => {
    vms = [vm(ONE)]
    cp.setFault({ kind: 'answer', status: 503, body: '' }, 'SyncNodeVMs')
    start().registered(nodeId)
    await told(signal)
    cp.setFault(undefined, 'SyncNodeVMs')
    await pace.skip()
    expect(await told(signal)).toMatchObject({ vms: [{ id: ONE }] })
    expect(cp.fleet.vms.size).toBe(1)
  })

  test.for<[string, string[], string[]]>([
    ['the one that an error names', [`vm ${TWO}: no space`], [TWO]],
    ['all when no error names one', ['internal'], [ONE, TWO]],
  ])('%s is told again', async ([, errors, again], { signal }) => {
    vms = [vm(ONE), vm(TWO)]
    cp.setFault({ kind: 'answer', status: 200, body: JSON.stringify({ importedCount: 1, errors }) }, 'SyncNodeVMs')
    start().registered(nodeId)
    await told(signal)
    cp.setFault(undefined, 'SyncNodeVMs')
    await pace.skip()
    expect(await told(signal)).toMatchObject({ vms: again.map((id) => ({ id })) })
  })
})

test.each([
  ['a state nobody knows', { state: 'UNKNOWN' }],
  ['a domain that cannot be read', { cpuCount: 0 }],
  ['the nil UUID', { vmId: '00000000-0000-0000-0000-000000000000' }],
  ['no UUID', { vmId: 'web-1' }],
  ['all ones', { vmId: 'ffffffff-ffff-ffff-ffff-ffffffffffff' }],
] as const)('%s is not told', (_, change) => {
  expect(syncedVm(vm(ONE, change))).toBeUndefined()
})

test('an id that only begins like the nil UUID is one', () => {
  expect(syncedVm(vm('00000000-0000-4000-8000-000000000001'))).toBeDefined()
})
