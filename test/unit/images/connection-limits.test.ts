import { describe, expect, it } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { ConnectionLimits } from '../../../src/images/read-ahead/connection-limits.ts'

const busy = new AgentError('DOWNLOAD_HTTP_STATUS', 'busy', { details: { status: '503' } })
const MOST = 4

function limits() {
  const clock = { now: 0 }
  return { made: new ConnectionLimits(MOST, { now: () => clock.now, random: () => 1 }), clock }
}

describe('ConnectionLimits', () => {
  it('tries one more after a while, and the next ones at once when it is served', () => {
    const { made, clock } = limits()
    expect([3, 2, 1].map((left) => made.refuse(0, left, busy))).toEqual([true, true, true])
    clock.now = 4_999
    expect(made.raise(0)).toBe(1)
    clock.now = 5_000
    expect(made.raise(0)).toBe(2)
    // Not a third one before it is known what became of the second.
    clock.now = 1_000_000
    expect(made.raise(0)).toBe(2)
    expect([made.serve(0, 1), made.serve(0, 2)]).toEqual([false, true])
    expect(made.raise(0)).toBe(3)
    expect([made.serve(0, 3), made.raise(0), made.serve(0, 4), made.raise(0)]).toEqual([true, 4, true, 4])
  })

  it('tries more and more rarely where one more is refused each time, and tells that once', () => {
    const { made, clock } = limits()
    expect(made.refuse(0, 2, busy)).toBe(true)
    for (const pauseMs of [5_000, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]) {
      clock.now += pauseMs - 1
      expect(made.raise(0)).toBe(2)
      clock.now += 1
      expect(made.raise(0)).toBe(3)
      expect(made.refuse(0, 2, busy)).toBe(false)
      expect(made.of(0)).toBe(2)
    }
  })

  it('waits as long as the server asks', () => {
    const { made, clock } = limits()
    made.refuse(0, 3, new AgentError('DOWNLOAD_HTTP_STATUS', 'busy', { details: { retryAfterMs: '60000' } }))
    clock.now = 59_999
    expect(made.raise(0)).toBe(3)
    clock.now = 60_000
    expect(made.raise(0)).toBe(4)
  })

  it('does not try again what was silent, or of no use', () => {
    const { made, clock } = limits()
    made.refuse(0, 3, new AgentError('DOWNLOAD_STALLED', 'no byte arrived'))
    made.narrow(1)
    clock.now = 1e9
    expect([made.raise(0), made.raise(1), made.raise(2)]).toEqual([3, 1, MOST])
  })
})
