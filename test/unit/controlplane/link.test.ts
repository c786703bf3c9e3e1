import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { HeartbeatAnswer } from '../../../src/controlplane/heartbeat.ts'
import { realPace } from '../../../src/controlplane/pace.ts'
import type { PoolInfo } from '../../../src/core/model.ts'
import { HTML_PAGE, maintenance, type Fault } from '../../control-plane/faults.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { linkFixture, pool, LOAD } from './link-fixture.ts'

let cp: StandInControlPlane
let fixture: Awaited<ReturnType<typeof linkFixture>>

beforeEach(async () => {
  cp = await startStandInControlPlane({ heartbeatIntervalSecs: 0 })
  fixture = await linkFixture()
})

afterEach(async () => {
  vi.useRealTimers()
  await fixture.dispose()
  await cp.close()
  expect(cp.violations).toEqual([])
})

const methods = () => cp.requests.map((request) => request.method)

describe('the link to a control plane', () => {
  it('registers first, then beats at once', async ({ signal }) => {
    const beat = cp.waitForHeartbeat(signal)
    const { link, pace } = fixture.start(cp.url)
    await beat
    await pace.untilAsleep()
    expect(methods()).toEqual(['RegisterNode', 'UpdateHeartbeat'])
    expect(link.status()).toMatchObject({ state: 'connected', registrations: 1, heartbeatsAcknowledged: 1 })
    expect(cp.fleet.nodes.has(link.status().nodeId)).toBe(true)
  })

  it('beats on a grid that neither jitter nor a slow tick shifts', async ({ signal }) => {
    const { pace } = fixture.start(cp.url)
    expect(await pace.untilAsleep()).toBe(30_000)
    pace.chance = 1
    const jittered = cp.waitForHeartbeat(signal)
    await pace.skip()
    await jittered
    expect(await pace.untilAsleep()).toBe(60_000 + 300)
    pace.chance = 0
    cp.setFault({ kind: 'hold' })
    const held = cp.waitForRequest('UpdateHeartbeat', signal)
    await pace.skip()
    await held
    // The clock runs on while the control plane is silent; then it hangs up.
    pace.advance(20_000)
    await cp.pause()
    expect(await pace.untilAsleep()).toBe(90_000)
  })

  it('tells the pools of the moment of each beat', async ({ signal }) => {
    let pools: PoolInfo[] = [pool('p1', 'HEALTHY')]
    const source = { load: () => LOAD, pools: () => pools, runningVmCount: () => 7 }
    const first = cp.waitForHeartbeat(signal)
    const { pace } = fixture.start(cp.url, { source })
    expect((await first).storagePools.map((report) => report.health)).toEqual([1])
    pools = [pool('p1', 'UNMOUNTED', { message: 'the mount is gone' })]
    const second = cp.waitForHeartbeat(signal)
    await pace.skip()
    expect(await second).toMatchObject({
      runningVmCount: 7,
      storagePools: [{ poolId: 'p1', health: 4, errorMessage: 'the mount is gone' }],
    })
  })

  it('hands the assigned pools and the wish for a full sync to its observer', async () => {
    const answers: HeartbeatAnswer[] = []
    const { link, pace } = fixture.start(cp.url, { onAnswer: (answer) => answers.push(answer) })
    await pace.untilAsleep()
    const assignedNodeIds = [link.status().nodeId]
    cp.fleet.addPool({ id: 'pool-a', name: 'a', kind: 'NFS', config: {}, assignedNodeIds })
    await pace.skip()
    await pace.untilAsleep()
    expect(answers.map((answer) => answer.assignedPoolIds)).toEqual([[], ['pool-a']])
    expect(answers[1]?.requestFullSync).toBe(false)
  })

  it('goes on when its observer throws', async () => {
    const onAnswer = () => {
      throw new Error('observer')
    }
    const { link, pace } = fixture.start(cp.url, { onAnswer })
    await pace.skip()
    await pace.untilAsleep()
    expect(link.status()).toMatchObject({ heartbeatsAcknowledged: 2, heartbeatsFailed: 0 })
  })

  it('registers at once when the control plane has forgotten it, and keeps its schedule', async ({ signal }) => {
    const { link, pace } = fixture.start(cp.url)
    await pace.untilAsleep()
    const before = link.status().nodeId
    cp.forgetEverything()
    const beat = cp.waitForHeartbeat(signal)
    await pace.skip()
    await beat
    expect(methods().slice(2)).toEqual(['UpdateHeartbeat', 'RegisterNode', 'UpdateHeartbeat'])
    expect(await pace.untilAsleep()).toBe(60_000)
    expect(link.status().nodeId).not.toBe(before)
    expect(pace.now()).toBe(30_000)
  })

  it('does not turn in a circle when the id of a fresh registration is unknown', async () => {
    const error: Fault = { kind: 'answer', status: 404, body: '{"code":"not_found","message":"node not found"}' }
    cp.setFault(error, 'UpdateHeartbeat')
    const { pace } = fixture.start(cp.url)
    expect(await pace.untilAsleep()).toBe(30_000)
    expect(methods()).toEqual(['RegisterNode', 'UpdateHeartbeat'])
    await pace.skip()
    expect(await pace.untilAsleep()).toBe(60_000)
    expect(methods().slice(2)).toEqual(['UpdateHeartbeat', 'RegisterNode', 'UpdateHeartbeat'])
  })

  it("does not take a proxy's 404 for a word of the control plane", async () => {
    const { link, pace } = fixture.start(cp.url)
    await pace.untilAsleep()
    cp.setFault({ kind: 'answer', status: 404, body: '404 page not found' })
    await pace.skip()
    await pace.untilAsleep()
    expect(link.status()).toMatchObject({ state: 'disconnected', consecutiveFailures: 1, registrations: 1 })
    expect(link.status().lastError?.reason).toBe('CONTROL_PLANE_BAD_ANSWER')
  })

  it('tries to register with growing pauses while the control plane is down, then beats at once', async ({
    signal,
  }) => {
    await cp.pause()
    const { link, pace } = fixture.start(cp.url)
    pace.chance = 1
    const pauses: number[] = []
    for (let attempt = 0; attempt < 8; attempt++) {
      pauses.push((await pace.untilAsleep()) - pace.now())
      if (attempt < 7) await pace.skip()
    }
    expect(pauses).toEqual([1_000, 2_000, 4_000, 8_000, 16_000, 32_000, 60_000, 60_000])
    expect(link.status()).toMatchObject({ state: 'registering', registrationsFailed: 8 })
    await cp.resume()
    const beat = cp.waitForHeartbeat(signal)
    await pace.skip()
    await beat
    await pace.untilAsleep()
    expect(link.status().state).toBe('connected')
  })

  it('registers again after three missed beats and recovers with the first that is acknowledged', async ({
    signal,
  }) => {
    const { link, pace } = fixture.start(cp.url)
    await pace.untilAsleep()
    await cp.pause()
    for (let missed = 1; missed <= 3; missed++) {
      await pace.skip()
      // After the third one the registration sleeps too.
      await pace.untilAsleep(missed < 3 ? 1 : 2)
      expect(link.status()).toMatchObject({ state: 'disconnected', consecutiveFailures: missed })
    }
    await cp.resume()
    const registered = cp.waitForRequest('RegisterNode', signal)
    const beat = cp.waitForHeartbeat(signal)
    await pace.skip(2)
    await registered
    await beat
    await pace.untilAsleep()
    expect(link.status()).toMatchObject({ state: 'connected', registrations: 2, consecutiveFailures: 0 })
    expect(cp.fleet.nodes.size).toBe(1)
  })

  it.for<[string, Fault, string]>([
    ['a hung control plane', { kind: 'hold' }, 'CONTROL_PLANE_UNAVAILABLE'],
    ['half an answer', { kind: 'cut' }, 'CONTROL_PLANE_UNAVAILABLE'],
    ['a broken connection', { kind: 'reset' }, 'CONTROL_PLANE_UNAVAILABLE'],
    ['a web page', HTML_PAGE, 'CONTROL_PLANE_BAD_ANSWER'],
    ['JSON of another shape', { kind: 'answer', status: 200, body: '[1]' }, 'CONTROL_PLANE_BAD_ANSWER'],
    ['an answer without acknowledgement', { kind: 'answer', status: 200, body: '{}' }, 'CONTROL_PLANE_REFUSED'],
    ['an internal error', { kind: 'answer', status: 500, body: '{"code":"internal"}' }, 'CONTROL_PLANE_REFUSED'],
    ['maintenance', maintenance(0), 'CONTROL_PLANE_UNAVAILABLE'],
  ])('counts %s as a missed beat and is there at the next tick', async ([, fault, reason]) => {
    // A short interval makes the deadline of a beat short in real time; the schedule is the fake clock's.
    const { link, pace } = fixture.start(cp.url, { intervalMs: 200 })
    expect(await pace.untilAsleep()).toBe(200)
    cp.setFault(fault)
    await pace.skip()
    expect(await pace.untilAsleep()).toBe(400)
    expect(link.status()).toMatchObject({ consecutiveFailures: 1, lastError: { reason } })
    cp.setFault(undefined)
    await pace.skip()
    expect(await pace.untilAsleep()).toBe(600)
    expect(link.status()).toMatchObject({ state: 'connected', consecutiveFailures: 0, heartbeatsAcknowledged: 2 })
  })

  it('leaves a control plane in maintenance alone for as long as it asks, up to a minute', async () => {
    const { pace } = fixture.start(cp.url)
    await pace.untilAsleep()
    cp.setFault(maintenance(45))
    await pace.skip()
    expect(await pace.untilAsleep()).toBe(30_000 + 45_000)
    cp.setFault(maintenance(3600))
    await pace.skip()
    expect(await pace.untilAsleep()).toBe(75_000 + 60_000)
  })

  it('beats with the id of before the restart while registration is refused', async ({ signal }) => {
    const first = fixture.start(cp.url)
    await first.pace.untilAsleep()
    const { nodeId } = first.link.status()
    await first.link.stop()
    cp.setFault({ kind: 'answer', status: 500, body: '{"code":"internal","message":"no"}' }, 'RegisterNode')
    const beat = cp.waitForHeartbeat(signal)
    fixture.start(cp.url)
    expect((await beat).nodeId).toBe(nodeId)
  })

  it('does not turn in a circle when neither registration nor the id of before is accepted', async () => {
    const first = fixture.start(cp.url)
    await first.pace.untilAsleep()
    await first.link.stop()
    cp.forgetEverything()
    const before = cp.requests.length
    cp.setFault({ kind: 'answer', status: 500, body: '{"code":"internal"}' }, 'RegisterNode')
    const { link, pace } = fixture.start(cp.url)
    for (let pause = 0; pause < 4; pause++) await pace.skip()
    await pace.untilAsleep()
    expect(link.status()).toMatchObject({ state: 'registering', heartbeatsFailed: 1 })
    expect(cp.requests.slice(before).filter((request) => request.method === 'UpdateHeartbeat')).toHaveLength(1)
  })

  it('runs on the clock of the process', async ({ signal }) => {
    fixture.start(cp.url, { intervalMs: 100 }, realPace)
    await cp.waitForHeartbeat(signal)
    await cp.waitForHeartbeat(signal)
    await cp.waitForHeartbeat(signal)
  })

  it('has the same node id after a restart', async ({ signal }) => {
    const first = fixture.start(cp.url)
    await first.pace.untilAsleep()
    const { nodeId } = first.link.status()
    await first.link.stop()
    expect(first.link.status().state).toBe('stopped')
    const beat = cp.waitForHeartbeat(signal)
    fixture.start(cp.url)
    expect((await beat).nodeId).toBe(nodeId)
  })

  it('honours the interval of the control plane within limits', async () => {
    for (const [seconds, expected] of [
      [10, 10_000],
      [1, 5_000],
      [86_400, 60_000],
    ] as const) {
      const other = await startStandInControlPlane({ heartbeatIntervalSecs: seconds })
      const { link, pace } = fixture.start(other.url)
      await pace.untilAsleep()
      expect(link.status().intervalMs).toBe(expected)
      await link.stop()
      await other.close()
    }
  })

  it('does not care about jumps of the wall clock', async ({ signal }) => {
    vi.useFakeTimers({ toFake: ['Date'], now: Date.parse('2026-01-01T12:00:00Z') })
    const { link, pace } = fixture.start(cp.url)
    for (const time of ['2026-01-01T13:00:00Z', '2026-01-01T11:00:00Z']) {
      const due = await pace.untilAsleep()
      vi.setSystemTime(Date.parse(time))
      expect(link.status()).toMatchObject({ state: 'connected', lastAckAgeMs: 0 })
      const beat = cp.waitForHeartbeat(signal)
      pace.advance(due - pace.now())
      await beat
      expect(await pace.untilAsleep()).toBe(due + 30_000)
    }
  })

  it('stops in the middle of a call', async ({ signal }) => {
    cp.setFault({ kind: 'hold' })
    const asked = cp.waitForRequest('RegisterNode', signal)
    const { link } = fixture.start(cp.url)
    await asked
    await link.stop()
    expect(link.status().state).toBe('stopped')
  })
})
