import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { HTML_PAGE, maintenance, type Fault } from '../../control-plane/faults.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { SessionFixture } from './session-fixture.ts'

const [KEPT, FLAPPED, MADE, GONE] = ['1', '2', '3', '4'].map(
  (digit) => `${digit.repeat(8)}-1111-4111-8111-111111111111`,
) as [string, string, string, string]
const [RUNNING, STOPPED] = [1, 2] as const
const MINUTE = 60_000

/** What `changes` takes. */
const CHANGES_MS = 30_000
const DELETED = 3
/** Health of a pool. */
const ERROR = 3

interface Change {
  readonly nodeId: string
  readonly vm?: { readonly id: string; readonly state: number }
  readonly pool?: { readonly poolId: string; readonly health: number }
  readonly eventType: number
}

interface Full {
  readonly vms: readonly { readonly id: string; readonly state: number }[]
  readonly storagePools: readonly { readonly poolId: string; readonly health: number }[]
}

let cp: StandInControlPlane
let fixture: SessionFixture

beforeEach(async () => {
  fixture = new SessionFixture()
  cp = await startStandInControlPlane({ stateSync: true, now: () => fixture.pace.now() })
})
afterEach(async () => {
  vi.useRealTimers()
  await fixture.dispose()
  await cp.close()
})

async function connected() {
  const { host } = fixture
  host.setVm(KEPT, 'RUNNING')
  host.setVm(FLAPPED, 'RUNNING')
  host.setVm(GONE, 'STOPPED')
  host.setPool('p1', 'HEALTHY')
  const session = fixture.start(cp.url)
  await fixture.pass(MINUTE)
  expect(session.link.status().state).toBe('connected')
  const { nodeId } = session.link.status()
  cp.fleet.addPool({ id: 'p1', name: 'p1', kind: 'LOCAL_DIR', config: {}, assignedNodeIds: [nodeId] })
  await fixture.pass(30_000)
  return { ...session, nodeId, node: cp.fleet.node(nodeId) }
}

/** Everything that a host does in bad times. */
async function changes(): Promise<void> {
  const { host } = fixture
  for (const state of ['STOPPED', 'RUNNING', 'PAUSED', 'STOPPED'] as const) {
    host.setVm(FLAPPED, state)
    await fixture.pass(5_000)
  }
  host.setVm(MADE, 'STOPPED')
  await fixture.pass(5_000)
  host.removeVm(GONE)
  host.setPool('p1', 'ERROR')
  await fixture.pass(5_000)
  host.setVm(MADE, 'RUNNING')
}

/** What a control plane believes that heard nothing but these requests, and how often it was told of a change of each. */
function heard(from: number) {
  const states = new Map<string, number>()
  const times = new Map<string, number>()
  for (const { method, body } of cp.requests.slice(from)) {
    const { vm, pool, eventType, vms, storagePools } = body as Change & Full
    if (method === 'SyncFullState') {
      states.clear()
      for (const { id, state } of vms) states.set(id, state)
      for (const { poolId, health } of storagePools) states.set(poolId, health)
    } else if (vm !== undefined || pool !== undefined) {
      const id = vm?.id ?? pool?.poolId ?? ''
      times.set(id, (times.get(id) ?? 0) + 1)
      if (vm !== undefined && eventType === DELETED) states.delete(id)
      else states.set(id, vm?.state ?? pool?.health ?? -1)
    }
  }
  return { states, times }
}

const GARBAGE: Fault = { kind: 'answer', status: 200, body: '\u0000{"acknowledged":tru', headers: {} }
const TROUBLES: readonly (readonly [string, Fault | undefined])[] = [
  ['away', undefined],
  ['hung: it accepts and never answers', { kind: 'hold' }],
  ['silent in the middle of its answers', { kind: 'cut' }],
  ['breaking every connection', { kind: 'reset' }],
  ['answering garbage', GARBAGE],
  ['replaced by a web page', HTML_PAGE],
  ['in maintenance', maintenance(45)],
]

describe.each(TROUBLES)('a control plane that is %s for two minutes', (_name, fault) => {
  it('hears each change of that time once, of the node that it knew, and nothing after that', async () => {
    const { link, nodeId, node } = await connected()
    if (fault === undefined) await cp.pause()
    else cp.setFault(fault)
    fixture.callTimeoutMs = 40
    await changes()
    await fixture.pass(2 * MINUTE - CHANGES_MS)
    cp.fleet.sweep()
    expect(node.phase).toBe('DISCONNECTED')
    expect(link.status()).toMatchObject({ state: 'disconnected', nodeId })

    const from = cp.requests.length
    if (fault === undefined) await cp.resume()
    else cp.setFault(undefined)
    fixture.callTimeoutMs = 10_000
    // Back-off is a minute at most, and so is the pause of one in maintenance.
    await fixture.pass(2 * MINUTE)
    expect(node.phase).toBe('READY')
    expect(link.status()).toMatchObject({ state: 'connected', nodeId, consecutiveFailures: 0 })
    const { states, times } = heard(from)
    // The full state of a new registration says it all; what was told of before that is not told again.
    expect(Object.fromEntries(states)).toMatchObject({ [FLAPPED]: STOPPED, [MADE]: RUNNING, p1: ERROR })
    expect(states.has(GONE)).toBe(false)
    expect(Math.max(1, ...times.values())).toBe(1)
    expect(cp.fleet.pools.get('p1')?.phase).toBe('ERROR')
    expect(cp.fleet.vms.has(MADE)).toBe(true)

    const quiet = cp.requests.length
    await fixture.pass(10 * MINUTE)
    expect([...new Set(cp.requests.slice(quiet).map(({ method }) => method))]).toEqual(['UpdateHeartbeat'])
    expect(cp.requests.length - quiet).toBe(20)
    expect(cp.fleet.nodes.size).toBe(1)
    expect(cp.violations).toEqual([])
  })
})

it('a control plane that answers slowly misses no beat and no change', async () => {
  const { link, node } = await connected()
  cp.setFault({ kind: 'slow', ms: 20 })
  const from = cp.requests.length
  const start = cp.heartbeats.length
  await changes()
  await fixture.pass(2 * MINUTE - CHANGES_MS)
  cp.fleet.sweep()
  expect([node.phase, link.status().consecutiveFailures]).toEqual(['READY', 0])
  expect(cp.heartbeats.length - start).toBe(4)
  const { states, times } = heard(from)
  expect([states.get(FLAPPED), states.get(MADE), states.get('p1')]).toEqual([STOPPED, RUNNING, ERROR])
  // Every change of the VM was seen while it lasted: RUNNING, STOPPED, RUNNING, PAUSED, STOPPED.
  expect(times.get(FLAPPED)).toBe(4)
})

describe('a control plane that was restarted with an empty memory', () => {
  it('gives a new node id at the next beat, hears everything anew under it, and of the old one nothing more', async () => {
    const { link, nodeId } = await connected()
    const from = cp.requests.length
    cp.forgetEverything()
    await fixture.pass(MINUTE)
    const now = link.status().nodeId
    expect(now).not.toBe(nodeId)
    const { states } = heard(from)
    expect([...states.keys()].sort()).toEqual([KEPT, FLAPPED, GONE, 'p1'].sort())
    expect([...cp.fleet.vms.keys()].sort()).toEqual([KEPT, FLAPPED, GONE].sort())
    const asked = cp.requests.slice(from)
    const forgotten = asked.findIndex(({ method }) => method === 'RegisterNode')
    const ids = asked.slice(forgotten + 1).map(({ body }) => (body as Change).nodeId)
    expect([...new Set(ids)]).toEqual([now])
    // At once: the beat that was refused, the registration and the next beat are of one moment.
    expect(asked.slice(0, forgotten + 1).map(({ method }) => method)).toEqual(['UpdateHeartbeat', 'RegisterNode'])
    expect(link.status()).toMatchObject({ state: 'connected', registrations: 2 })
  })

  it('is told the same by an agent that was down when it happened', async () => {
    const first = await connected()
    await first.stop()
    cp.forgetEverything()
    const from = cp.requests.length
    const { link } = fixture.start(cp.url)
    await fixture.pass(MINUTE)
    expect(link.status().nodeId).not.toBe(first.nodeId)
    expect(heard(from).states.size).toBe(4)
  })
})

describe('a wall clock that jumps by an hour', () => {
  it.each([
    ['forward', 60 * MINUTE],
    ['back', -60 * MINUTE],
  ])('%s shifts no beat, repeats no change and ages no number', async (_direction, jumpMs) => {
    const start = Date.parse('2026-01-01T12:00:00Z')
    vi.useFakeTimers({ toFake: ['Date'], now: start })
    const { link, node } = await connected()
    const from = cp.requests.length
    vi.setSystemTime(start + jumpMs)
    expect(link.status()).toMatchObject({ state: 'connected', consecutiveFailures: 0 })
    expect(link.status().lastAckAgeMs).toBeLessThan(30_000)
    await fixture.pass(5 * MINUTE)
    const asked = cp.requests.slice(from)
    expect(asked.map(({ method }) => method)).toEqual(Array.from({ length: 10 }, () => 'UpdateHeartbeat'))
    // The same numbers as before, so the control plane sees no change either.
    expect(new Set(asked.map(({ body }) => JSON.stringify((body as { storagePools: object }).storagePools))).size).toBe(
      1,
    )
    expect([node.phase, cp.fleet.pools.get('p1')?.phase]).toEqual(['READY', 'READY'])

    fixture.host.setVm(KEPT, 'STOPPED')
    const told = cp.requests.length
    await fixture.pass(MINUTE)
    expect(heard(told).times).toEqual(new Map([[KEPT, 1]]))
  })

  it('does not stretch what a server in maintenance asks for by its own clock', async () => {
    const start = Date.parse('2026-01-01T12:00:00Z')
    vi.useFakeTimers({ toFake: ['Date'], now: start })
    await connected()
    vi.setSystemTime(start - 60 * MINUTE)
    const until = { 'retry-after': new Date(start + 5_000).toUTCString(), 'content-type': 'text/plain' }
    cp.setFault({ kind: 'answer', status: 503, body: 'Service Unavailable', headers: until })
    await fixture.pass(30_000)
    cp.setFault(undefined)
    const beats = cp.heartbeats.length
    await fixture.pass(MINUTE)
    expect(cp.heartbeats.length).toBeGreaterThan(beats)
  })
})
