import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { Retries } from '../../../src/images/retries.ts'

const broken = new AgentError('DOWNLOAD_CONNECT', 'reset')
const status = (code: number, retryAfterMs?: number) =>
  new AgentError('DOWNLOAD_HTTP_STATUS', `status ${code}`, {
    details: { status: String(code), ...(retryAfterMs === undefined ? {} : { retryAfterMs: String(retryAfterMs) }) },
  })

function retries(sources = 1, patienceMs = 60_000) {
  const clock = { now: 0 }
  const made = new Retries({ patienceMs, sources, now: () => clock.now, random: () => 1 })
  /** Fails and waits as told. */
  const fail = (error: AgentError = broken) => {
    const next = made.after(error)
    clock.now += next.delayMs
    return next
  }
  return { made, clock, fail }
}

describe('Retries', () => {
  it('waits longer and longer, and gives up when no new byte came for the whole patience', () => {
    const { fail, clock } = retries()
    const delays: number[] = []
    const run = () => {
      for (;;) delays.push(fail().delayMs)
    }
    expect(run).toThrow(/reset; given up after 8 attempts in \d+ s without a new byte/)
    expect(delays).toEqual([500, 1000, 2000, 4000, 8000, 15_000, 15_000])
    expect(clock.now).toBeLessThanOrEqual(60_000)
  })

  it('spreads the attempts of many agents', () => {
    const delayOf = (random: number) =>
      new Retries({ patienceMs: 1000, sources: 1, now: () => 0, random: () => random }).after(broken).delayMs
    expect([delayOf(0), delayOf(0.5), delayOf(1)]).toEqual([250, 375, 500])
  })

  it('takes heart from every new furthest byte, and from no other', () => {
    const { made, fail, clock } = retries()
    for (let bytes = 1; bytes < 50; bytes++) {
      clock.now += 50_000
      made.reached(bytes)
      expect(fail().delayMs).toBe(500)
    }
    clock.now += 59_000
    made.reached(49)
    expect(() => fail()).toThrow('given up')
  })

  it.each([
    ['401', status(401)],
    ['403', status(403)],
    ['404', status(404)],
    ['410', status(410)],
    ['501', status(501)],
    ['a refused URL', new AgentError('URL_REFUSED', 'private')],
    ['a bad certificate', new AgentError('DOWNLOAD_CONNECT', 'x', { details: { certificate: 'CERT_HAS_EXPIRED' } })],
    ['a disk that stalls', new AgentError('DOWNLOAD_STALLED', 'x', { details: { waitingFor: 'disk' } })],
    ['a full pool', new AgentError('POOL_FULL', 'full')],
    ['a web page', new AgentError('IMAGE_NOT_AN_IMAGE', 'page')],
  ])('ends at once for %s', (_name, error) => {
    expect(() => retries().fail(error)).toThrow(error)
  })

  it.each([408, 425, 429, 500, 502, 503, 504])('tries again after status %i', (code) => {
    expect(retries().fail(status(code))).toEqual({ source: 0, delayMs: 500 })
  })

  it('waits as long as the server asks, but not longer than its patience', () => {
    expect(retries().fail(status(503, 20_000)).delayMs).toBe(20_000)
    expect(() => retries().fail(status(503, 3_600_000))).toThrow(/status 503 and asks to wait 3600 s; given up/)
  })

  it('asks the mirrors in order as long as nothing came, and waits after each round', () => {
    const { fail } = retries(3)
    expect([fail(), fail(), fail(), fail(), fail()]).toEqual([
      { source: 1, delayMs: 0 },
      { source: 2, delayMs: 0 },
      { source: 0, delayMs: 500 },
      { source: 1, delayMs: 0 },
      { source: 2, delayMs: 0 },
    ])
  })

  it('stays with a source that gave bytes for some failures', () => {
    const { made, fail } = retries(2)
    made.reached(1000)
    expect([fail(), fail(), fail()].map(({ source }) => source)).toEqual([0, 0, 1])
  })

  it('drops a source for a permanent fault, and tells of the first one when none is left', () => {
    const { fail } = retries(2)
    expect(fail(status(404))).toEqual({ source: 1, delayMs: 0 })
    expect(fail().source).toBe(1)
    expect(() => fail(status(403))).toThrow('status 404')
  })
})
