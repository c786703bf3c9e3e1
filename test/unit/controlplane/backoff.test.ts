import { describe, expect, it } from 'vitest'
import { backoffMs } from '../../../src/controlplane/backoff.ts'

describe('backoffMs', () => {
  it('doubles from 1 s to 60 s', () => {
    expect([1, 2, 3, 6, 7, 8, 1000].map((failures) => backoffMs(failures, 1))).toEqual([
      1_000, 2_000, 4_000, 32_000, 60_000, 60_000, 60_000,
    ])
  })

  it('is random in its upper half', () => {
    expect(backoffMs(3, 0)).toBe(2_000)
    expect(backoffMs(3, 0.5)).toBe(3_000)
  })

  it('waits as long as the server asks, at most 60 s', () => {
    expect(backoffMs(1, 0, 7_000)).toBe(7_000)
    expect(backoffMs(6, 1, 7_000)).toBe(32_000)
    expect(backoffMs(1, 0, 3_600_000)).toBe(60_000)
  })
})
