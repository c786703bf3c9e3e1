import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { HeldTellers } from '../../../src/controlplane/held-tellers.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import { SessionFixture } from './session-fixture.ts'

const HALF_MADE = '11111111-1111-4111-8111-111111111111'
const WHOLE = '22222222-2222-4222-8222-222222222222'
const MINUTE = 60_000

let cp: StandInControlPlane
let fixture: SessionFixture

beforeEach(async () => {
  fixture = new SessionFixture()
  cp = await startStandInControlPlane({ stateSync: true, now: () => fixture.pace.now() })
})
afterEach(async () => {
  await fixture.dispose()
  await cp.close()
  expect(cp.violations).toEqual([])
})

const methods = () => [...new Set(cp.requests.map(({ method }) => method))].sort()

describe('a recovery that hangs', () => {
  it('holds back what is told of VMs, but no heartbeat', async () => {
    const recovered = Promise.withResolvers<void>()
    const { host } = fixture
    host.setVm(HALF_MADE, 'STOPPED')
    const { link } = fixture.start(cp.url, recovered.promise)
    await fixture.pass(5 * MINUTE)
    host.setVm(WHOLE, 'RUNNING')
    await fixture.pass(5 * MINUTE)
    expect(link.status()).toMatchObject({ state: 'connected', heartbeatsFailed: 0 })
    expect(link.status().heartbeatsAcknowledged).toBeGreaterThanOrEqual(20)
    expect(methods()).toEqual(['RegisterNode', 'UpdateHeartbeat'])

    host.removeVm(HALF_MADE)
    recovered.resolve()
    await fixture.pass(MINUTE)
    expect(methods()).toEqual(expect.arrayContaining(['SyncNodeVMs', 'SyncFullState']))
    expect([...cp.fleet.vms.keys()]).toEqual([WHOLE])
    const told = JSON.stringify(cp.requests.map(({ body }) => body))
    expect(told).toContain(WHOLE)
    expect(told).not.toContain(HALF_MADE)
  })
})

describe('registrations that were held back', () => {
  it('are passed on as the newest one, later ones at once', async () => {
    const recovered = Promise.withResolvers<void>()
    const heard: string[] = []
    const tellers = new HeldTellers(recovered.promise, [{ registered: (id) => void heard.push(id) }], silentLogger)
    tellers.registered('n1')
    tellers.registered('n2')
    expect([heard, tellers.released]).toEqual([[], false])
    recovered.resolve()
    await recovered.promise
    expect([heard, tellers.released]).toEqual([['n2'], true])
    tellers.registered('n3')
    expect(heard).toEqual(['n2', 'n3'])
  })
})
