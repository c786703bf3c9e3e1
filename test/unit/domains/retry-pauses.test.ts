import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { RetryPauses } from '../../../src/domains/retry-pauses.ts'

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
})

test('pauses get longer up to ten minutes, whoever asks in between, and begin anew after a success', () => {
  const tries: string[] = []
  const pauses = new RetryPauses((key) => tries.push(key))
  const lengths = [5, 10, 20, 40, 80, 160, 320, 600, 600]
  for (const [index, seconds] of lengths.entries()) {
    expect(pauses.pause('a')).toBe(index > 0)
    vi.advanceTimersByTime(seconds * 1000 - 1)
    expect([pauses.isPausing('a'), tries.length]).toEqual([true, index])
    vi.advanceTimersByTime(1)
    expect([pauses.isPausing('a'), tries.length]).toEqual([false, index + 1])
  }
  expect(pauses.isPausing('b')).toBe(false)
  pauses.forget('a')
  expect(pauses.pause('a')).toBe(false)
  pauses.stop()
  vi.advanceTimersByTime(3_600_000)
  expect(tries).toHaveLength(lengths.length)
})
