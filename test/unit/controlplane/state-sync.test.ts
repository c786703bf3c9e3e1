import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { registerNodeRequest } from '../../../src/controlplane/registration.ts'
import { hostReport, stateHash } from '../../../src/controlplane/state-report.ts'
import { StateSync } from '../../../src/controlplane/state-sync.ts'
import type { ToldStates } from '../../../src/controlplane/told-record.ts'
import { until } from '../../support/until.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type { PoolInfo, VmInfo } from '../../../src/core/model.ts'
import { createConnectClient, type ConnectClient } from '../../../src/platform/connect-client.ts'
import type { StateCollection } from '../../../src/platform/state-store.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { registerNode } from '../../control-plane/schemas.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { FakePace } from './fake-pace.ts'
import { FACTS } from './link-fixture.ts'

const ONE = '11111111-1111-4111-8111-111111111111'
const TWO = '22222222-2222-4222-8222-222222222222'
const LOAD = {
  ...{ observedAt: 0, cpuUsagePercent: 12.345, memoryUsedBytes: 1e9, memoryTotalBytes: 4e9 },
  ...{ load1: 0, load5: 0, load15: 0 },
}

let cp: StandInControlPlane
let client: ConnectClient
let pace: FakePace
let store: StateCollection<ToldStates>
let vms: VmInfo[] | undefined
let pools: PoolInfo[]
let addresses: Map<string, readonly string[]>
let changed: () => void
let sync: StateSync | undefined
let nodeId: string

beforeEach(async () => {
  await use(true)
  pace = new FakePace()
  store = memoryCollection()
  vms = []
  pools = []
  addresses = new Map()
})
afterEach(async () => {
  await sync?.stop()
  await client.close()
  await cp.close()
})

/** A control plane that knows the calls, or one of today. */
async function use(stateSync: boolean): Promise<void> {
  cp = await startStandInControlPlane({ stateSync })
  client = createConnectClient({ baseUrl: cp.url })
  nodeId = register()
}

function register(): string {
  return cp.fleet.register(registerNode.parse(registerNodeRequest(FACTS, {}))).node.id
}

function start(importForeign = true): StateSync {
  sync = new StateSync({
    client,
    vms: {
      read: () =>
        vms === undefined
          ? Promise.reject(new AgentError('LIBVIRT_UNAVAILABLE', 'libvirt is away'))
          : Promise.resolve(vms),
      onChange(listener) {
        changed = listener
        return () => undefined
      },
    },
    addresses: { of: (vmId) => addresses.get(vmId), onChange: () => () => undefined },
    pools: { list: () => pools, onChange: () => () => undefined },
    host: () => Promise.resolve(hostReport(FACTS, LOAD)),
    importForeign,
    store,
    pace,
    log: silentLogger,
  })
  return sync
}

function vm(vmId: string, change: Partial<VmInfo> = {}): VmInfo {
  return {
    ...{ vmId, name: `vm-${vmId.slice(0, 1)}`, state: 'RUNNING', managed: true, cpuCount: 2, memoryBytes: 2 ** 29 },
    ...{ labels: {}, disks: [], observedAt: 1 },
    ...change,
  }
}

function pool(poolId: string, health: PoolInfo['observation']['health']): PoolInfo {
  const numbers = { totalBytes: 10, availableBytes: 4, usedBytes: 6, volumeCount: 1, probeLatencyMs: 1 }
  return {
    config: { poolId, kind: 'NFS', options: {} },
    ...{ mountPath: '/mnt', devicePath: '', rbdPool: '' },
    observation: {
      health,
      reason: health === 'HEALTHY' ? 'OK' : 'NO_ANSWER',
      message: 'why',
      observedAt: 1,
      ...numbers,
    },
  }
}

const calls = (method: string) => cp.requests.filter((request) => request.method === method).map(({ body }) => body)

/** One pause for changes to settle, and the call after it. */
async function told(method: string, signal: AbortSignal): Promise<unknown> {
  const call = cp.waitForRequest(method, signal)
  await pace.skip()
  return (await call).body
}

describe('a control plane that knows the calls', () => {
  test('hears of everything after a registration', async ({ signal }) => {
    const usage = { cpuUsagePercent: 7.777, memoryUsedBytes: 2 ** 28 } as VmInfo['usage'] & object
    vms = [vm(ONE, { usage }), vm(TWO, { state: 'STOPPED' })]
    pools = [pool('p1', 'HEALTHY')]
    start().registered(nodeId)
    const body = (await told('SyncFullState', signal)) as { vms: object[]; stateHash: string }
    expect(body).toMatchObject({
      nodeId,
      hostInfo: {
        ...{ hostname: 'hv-01', managementIp: '127.0.0.1', cpuUsagePercent: 12.35 },
        ...{ memoryTotalBytes: 4e9, memoryAvailableBytes: 3e9 },
      },
      vms: [
        { id: ONE, name: 'vm-1', state: 1, stateChangeCount: 1, cpuUsagePercent: 7.78, memoryUsedBytes: 2 ** 28 },
        { id: TWO, name: 'vm-2', state: 2, stateChangeCount: 1, cpuUsagePercent: 0, memoryUsedBytes: 0 },
      ],
      storagePools: [{ poolId: 'p1', health: 1 }],
    })
    expect(body.stateHash).toBe(sync?.stateHash())
    expect(cp.violations).toEqual([])
  })

  test('hears of what became of a VM as a change, also when everything is due at the same moment', async ({
    signal,
  }) => {
    vms = [vm(ONE)]
    start().registered(nodeId)
    await told('SyncFullState', signal)
    // Told one after the other: with this, all before it is kept.
    vms = [vm(ONE, { name: 'x' })]
    changed()
    await told('NotifyVMChange', signal)
    await sync?.stop()
    vms = [vm(ONE, { name: 'x', state: 'STOPPED' })]
    start().registered(nodeId)
    await told('SyncFullState', signal)
    expect(calls('NotifyVMChange')).toMatchObject([{}, { eventType: 2, vm: { state: 2 }, previousState: 1 }])
  })

  test('hears of each change once: made, changed, gone', async ({ signal }) => {
    start().registered(nodeId)
    await told('SyncFullState', signal)
    vms = [vm(ONE)]
    changed()
    expect(await told('NotifyVMChange', signal)).toMatchObject({ vm: { id: ONE, state: 1 }, eventType: 1 })
    vms = [vm(ONE, { state: 'PAUSED' })]
    changed()
    const paused = { vm: { id: ONE, state: 3, stateChangeCount: 2 }, eventType: 2, previousState: 1 }
    expect(await told('NotifyVMChange', signal)).toMatchObject(paused)
    vms = []
    changed()
    const gone = { vm: { id: ONE, state: 2, stateChangeCount: 3 }, eventType: 3, previousState: 3 }
    expect(await told('NotifyVMChange', signal)).toMatchObject(gone)
    vms = [vm(TWO)]
    changed()
    expect(await told('NotifyVMChange', signal)).toMatchObject({ vm: { id: TWO } })
    expect(calls('NotifyVMChange')).toHaveLength(4)
    expect(cp.violations).toEqual([])
  })

  test('hears of addresses, which are no part of the state that is counted and hashed', async ({ signal }) => {
    vms = [vm(ONE)]
    const running = start()
    running.registered(nodeId)
    expect(await told('SyncFullState', signal)).toMatchObject({ vms: [{ ipAddresses: [] }] })
    const hash = running.stateHash()
    addresses.set(ONE, ['192.0.2.7', '2001:db8::7'])
    changed()
    const known = { id: ONE, state: 1, stateChangeCount: 1, ipAddresses: ['192.0.2.7', '2001:db8::7'] }
    expect(await told('NotifyVMChange', signal)).toMatchObject({ vm: known, eventType: 2, previousState: 1 })
    expect(running.stateHash()).toBe(hash)
    // The same in another order.
    addresses.set(ONE, ['2001:db8::7', '192.0.2.7'])
    changed()
    await pace.skip()
    await running.stop()

    // A restart of the agent, which does not know them yet: nothing has changed.
    addresses.clear()
    const again = start()
    again.registered(nodeId)
    expect(await told('SyncFullState', signal)).toMatchObject({ vms: [known], stateHash: hash })
    vms = [vm(ONE, { state: 'PAUSED' })]
    changed()
    const paused = { ...known, state: 3, stateChangeCount: 2 }
    expect(await told('NotifyVMChange', signal)).toMatchObject({ vm: paused, previousState: 1 })
    vms = [vm(ONE, { state: 'STOPPED' })]
    changed()
    const off = { state: 2, stateChangeCount: 3, ipAddresses: [] }
    expect(await told('NotifyVMChange', signal)).toMatchObject({ vm: off, previousState: 3 })
    vms = [vm(ONE)]
    changed()
    expect(await told('NotifyVMChange', signal)).toMatchObject({ vm: { state: 1, ipAddresses: [] } })
    expect(calls('NotifyVMChange')).toHaveLength(4)
    expect(cp.violations).toEqual([])
  })

  test('was away: hears what is true now when it is back, once', async ({ signal }) => {
    start().registered(nodeId)
    await told('SyncFullState', signal)
    await cp.pause()
    vms = [vm(ONE)]
    changed()
    await pace.skip()
    await pace.untilAsleep()
    vms = [vm(ONE, { state: 'STOPPED' }), vm(TWO)]
    changed()
    await pace.skip()
    await pace.untilAsleep()
    await cp.resume()
    changed()
    const second = cp.waitForRequest('NotifyVMChange', signal).then(() => cp.waitForRequest('NotifyVMChange', signal))
    await pace.skip()
    await second
    expect(calls('NotifyVMChange')).toMatchObject([
      { vm: { id: ONE, state: 2 }, eventType: 1 },
      { vm: { id: TWO, state: 1 }, eventType: 1 },
    ])
  })

  test('is not told again after a restart of the agent what it knows, but what changed meanwhile', async ({
    signal,
  }) => {
    vms = [vm(ONE), vm(TWO)]
    start().registered(nodeId)
    await told('SyncFullState', signal)
    vms = [vm(ONE), vm(TWO, { name: 'x' })]
    changed()
    await told('NotifyVMChange', signal)
    await sync?.stop()
    cp.setFault({ kind: 'answer', status: 501, body: '{"code":"unimplemented","message":"no"}' }, 'SyncFullState')
    vms = [vm(ONE, { state: 'CRASHED' }), vm(TWO, { name: 'x' })]
    start().registered(nodeId)
    expect(await told('NotifyVMChange', signal)).toMatchObject({ vm: { id: ONE, state: 5 }, previousState: 1 })
    expect(calls('NotifyVMChange')).toHaveLength(2)
  })

  test.each(['goes on', 'ends'] as const)(
    'heard of a change, and the agent, which does not know that, %s: it hears that the VM is back',
    async (then) => {
      const signal = AbortSignal.timeout(15_000)
      vms = [vm(ONE)]
      start().registered(nodeId)
      await told('SyncFullState', signal)
      cp.setFault({ kind: then === 'ends' ? 'hold' : 'reset' }, 'NotifyVMChange')
      vms = [vm(ONE, { state: 'STOPPED' })]
      changed()
      await told('NotifyVMChange', signal)
      if (then === 'goes on') await pace.untilAsleep()
      else await sync?.stop()
      cp.setFault(undefined, 'NotifyVMChange')
      vms = [vm(ONE)]
      if (then === 'goes on') changed()
      else start().registered(nodeId)
      const everything = then === 'ends' ? cp.waitForRequest('SyncFullState', signal) : undefined
      const back = { vm: { id: ONE, state: 1, stateChangeCount: 3 }, eventType: 2, previousState: 2 }
      expect(await told('NotifyVMChange', signal)).toMatchObject(back)
      await everything
      // Once: the next is another's.
      vms = [vm(ONE), vm(TWO)]
      changed()
      expect(await told('NotifyVMChange', signal)).toMatchObject({ vm: { id: TWO } })
    },
  )

  test('may have heard that a VM is gone: it hears that again, or that it was made anew, until it surely has', async ({
    signal,
  }) => {
    vms = [vm(ONE), vm(TWO)]
    start().registered(nodeId)
    await told('SyncFullState', signal)
    /** What is told of first is heard, and the agent ends before it knows. */
    const endUnheard = async (now: VmInfo[]) => {
      cp.setFault({ kind: 'hold' }, 'NotifyVMChange')
      vms = now
      changed()
      const body = await told('NotifyVMChange', signal)
      await sync?.stop()
      return body
    }
    const restart = () => start().registered(nodeId)
    const gone = { vm: { id: ONE, state: 2, stateChangeCount: 2 }, eventType: 3, previousState: 1 }
    const anew = { vm: { id: ONE, state: 1 }, eventType: 1 }
    expect(await endUnheard([vm(TWO)])).toMatchObject(gone)
    restart()
    expect(await endUnheard([vm(TWO)])).toMatchObject(gone)
    restart()
    expect(await endUnheard([vm(ONE), vm(TWO)])).toMatchObject(anew)
    cp.setFault(undefined, 'NotifyVMChange')
    restart()
    expect(await told('NotifyVMChange', signal)).toMatchObject(anew)
  })

  test('hears of changes although nothing can be kept of what it was told', async ({ signal }) => {
    const full = new AgentError('STATE_NOT_WRITABLE', 'no space left')
    store = { ...store, put: () => Promise.reject(full) }
    start().registered(nodeId)
    await told('SyncFullState', signal)
    await pace.untilAsleep()
    vms = [vm(ONE), vm(TWO)]
    changed()
    const both = cp.waitForRequest('NotifyVMChange', signal).then(() => cp.waitForRequest('NotifyVMChange', signal))
    await pace.skip()
    await both
    expect(calls('NotifyVMChange')).toMatchObject([{ vm: { id: ONE } }, { vm: { id: TWO } }])
  })

  test('with an empty memory is told all anew', async ({ signal }) => {
    vms = [vm(ONE)]
    const running = start()
    running.registered(nodeId)
    await told('SyncFullState', signal)
    cp.forgetEverything()
    running.registered(register())
    expect(await told('SyncFullState', signal)).toMatchObject({ vms: [{ id: ONE, stateChangeCount: 1 }] })
  })

  test('gets everything again when it asks', async ({ signal }) => {
    const running = start()
    running.registered(nodeId)
    await told('SyncFullState', signal)
    vms = [vm(ONE)]
    running.requestFullSync()
    expect(await told('SyncFullState', signal)).toMatchObject({ vms: [{ id: ONE }] })
  })

  test('asks for everything before it knows the host: it is told once, with the registration', async ({ signal }) => {
    const early = start()
    early.requestFullSync()
    early.registered(nodeId)
    expect(await told('SyncFullState', signal)).toMatchObject({ nodeId })
    expect(calls('SyncFullState')).toHaveLength(1)
  })

  test('hears nothing of VMs while libvirt is away', async ({ signal }) => {
    vms = [vm(ONE)]
    start().registered(nodeId)
    await told('SyncFullState', signal)
    vms = undefined
    pools = [pool('p1', 'HEALTHY')]
    changed()
    expect(await told('NotifyStorageChange', signal)).toMatchObject({ pool: { poolId: 'p1' }, eventType: 1 })
    expect(calls('NotifyVMChange')).toEqual([])
  })

  test('refuses one VM: the others are told, and that one again', async ({ signal }) => {
    start().registered(nodeId)
    await told('SyncFullState', signal)
    cp.setFault({ kind: 'answer', status: 400, body: '{"code":"invalid_argument","message":"no"}' }, 'NotifyVMChange')
    vms = [vm(ONE), vm(TWO)]
    changed()
    await told('NotifyVMChange', signal)
    await pace.untilAsleep()
    cp.setFault(undefined, 'NotifyVMChange')
    await pace.skip()
    await told('NotifyVMChange', signal)
    await cp.waitForRequest('NotifyVMChange', signal)
    const ids = (calls('NotifyVMChange') as { vm: { id: string } }[]).map(({ vm: { id } }) => id)
    expect(ids).toEqual([ONE, TWO, ONE, TWO])
  })

  test.for([
    ['NotifyVMChange', {}],
    ['NotifyVMChange', { acknowledged: false, error: 'no' }],
    ['SyncFullState', {}],
  ] as const)('does not acknowledge %s: it is told again', async ([call, answer], { signal }) => {
    const unheard = { kind: 'answer', status: 200, body: JSON.stringify(answer) } as const
    vms = []
    if (call === 'SyncFullState') cp.setFault(unheard, call)
    start().registered(nodeId)
    await told('SyncFullState', signal)
    if (call === 'NotifyVMChange') {
      cp.setFault(unheard, call)
      vms = [vm(ONE)]
      changed()
      await told(call, signal)
    }
    await pace.untilAsleep()
    cp.setFault(undefined, call)
    await pace.skip()
    await told(call, signal)
    expect(calls(call)).toHaveLength(2)
  })

  test('follows the health of pools', async ({ signal }) => {
    pools = [pool('p1', 'UNKNOWN')]
    start().registered(nodeId)
    await told('SyncFullState', signal)
    for (const [health, eventType] of [
      ['HEALTHY', 3],
      ['ERROR', 3],
      ['UNMOUNTED', 2],
      ['HEALTHY', 1],
    ] as const) {
      pools = [pool('p1', health)]
      changed()
      expect(await told('NotifyStorageChange', signal)).toMatchObject({ pool: { poolId: 'p1' }, eventType })
    }
    expect(cp.violations).toEqual([])
  })

  test('hears of a pool that was destroyed, once, and of one that is made anew under its id', async ({ signal }) => {
    pools = [pool('p1', 'HEALTHY'), pool('p2', 'UNMOUNTED')]
    start().registered(nodeId)
    await told('SyncFullState', signal)
    pools = []
    changed()
    const gone = { poolId: 'p1', health: 4, mountPath: '', totalBytes: 0, errorMessage: expect.any(String) as string }
    expect(await told('NotifyStorageChange', signal)).toMatchObject({ nodeId, pool: gone, eventType: 2 })
    changed()
    await pace.skip()
    pools = [pool('p1', 'HEALTHY')]
    changed()
    const mounted = { pool: { poolId: 'p1', health: 1 }, eventType: 1 }
    expect(await told('NotifyStorageChange', signal)).toMatchObject(mounted)
    // p2 was told as not mounted: that it is gone is no other state.
    expect(calls('NotifyStorageChange')).toHaveLength(2)
    expect(cp.violations).toEqual([])
  })

  test('does not know what is gone either: the others are told, and that one no more', async ({ signal }) => {
    pools = [pool('p1', 'HEALTHY'), pool('p2', 'HEALTHY')]
    start().registered(nodeId)
    await told('SyncFullState', signal)
    const unknown = '{"code":"not_found","message":"no such pool"}'
    cp.setFault({ kind: 'answer', status: 404, body: unknown }, 'NotifyStorageChange')
    pools = []
    changed()
    await told('NotifyStorageChange', signal)
    await until(async () => calls('NotifyStorageChange').length === 2)
    cp.setFault(undefined, 'NotifyStorageChange')
    pools = [pool('p3', 'HEALTHY')]
    changed()
    await told('NotifyStorageChange', signal)
    const ids = (calls('NotifyStorageChange') as { pool: { poolId: string } }[]).map(({ pool: { poolId } }) => poolId)
    expect(ids).toEqual(['p1', 'p2', 'p3'])
  })

  test('hears of a pool that was destroyed while it or the agent was away', async ({ signal }) => {
    start().registered(nodeId)
    await told('SyncFullState', signal)
    pools = [pool('p1', 'HEALTHY')]
    changed()
    await told('NotifyStorageChange', signal)
    await cp.pause()
    pools = []
    changed()
    await pace.skip()
    await pace.untilAsleep()
    await sync?.stop()
    await cp.resume()
    start().registered(nodeId)
    // Before everything: what is not in it was told.
    await told('SyncFullState', signal)
    expect(cp.requests.map(({ method }) => method)).toEqual([
      ...['SyncFullState', 'NotifyStorageChange', 'NotifyStorageChange', 'SyncFullState'],
    ])
    expect(calls('NotifyStorageChange')[1]).toMatchObject({ pool: { poolId: 'p1', health: 4 }, eventType: 2 })
  })

  test('hears nothing of foreign domains and impossible ids when that is configured', async ({ signal }) => {
    vms = [vm(ONE, { managed: false }), vm('00000000-0000-0000-0000-000000000000'), vm(TWO)]
    start(false).registered(nodeId)
    expect(await told('SyncFullState', signal)).toMatchObject({ vms: [{ id: TWO }] })
  })
})

test('a control plane that does not know the calls is asked once per registration', async ({ signal }) => {
  await cp.close()
  await client.close()
  await use(false)
  vms = [vm(ONE)]
  pools = [pool('p1', 'HEALTHY')]
  const running = start()
  running.registered(nodeId)
  await told('NotifyStorageChange', signal)
  vms = [vm(ONE, { state: 'PAUSED' })]
  changed()
  await pace.skip()
  running.registered(nodeId)
  await told('NotifyStorageChange', signal)
  for (const method of ['SyncFullState', 'NotifyVMChange', 'NotifyStorageChange']) expect(calls(method)).toHaveLength(2)
})

test('the hash is that of the contract: lines sorted by id', () => {
  const state = { name: '', changedAt: 0 }
  const hash = stateHash([
    [TWO, { ...state, state: 2, changes: 4 }],
    [ONE, { ...state, state: 1, changes: 1 }],
  ])
  // sha256 of "1111…:1:1\n2222…:2:4\n"
  expect(hash).toBe('c60376f01c6a9885')
})
