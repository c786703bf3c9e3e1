import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { defaultStallTimeoutMs, withStallTimeout } from '../../../src/storage/stall-timeout.ts'

const MINUTE = 60_000

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

test('a copy that tells of itself in time goes on, one that falls silent is ended', async () => {
  let alive: () => void = () => undefined
  const copy = withStallTimeout(
    { timeoutMs: 30 * MINUTE, what: 'the copy of a into b' },
    { signal: new AbortController().signal, log: silentLogger },
    ({ signal }, sign) => {
      alive = sign
      return new Promise((_, reject) => signal.addEventListener('abort', () => reject(signal.reason as Error)))
    },
  )
  const ended = expect(copy).rejects.toMatchObject({
    reason: 'DEADLINE_EXCEEDED',
    message: 'the copy of a into b made no progress for 30 minutes; look at the storage of both',
  })
  let over = false
  void ended.then(() => (over = true))
  for (let sign = 0; sign < 5; sign++) {
    await vi.advanceTimersByTimeAsync(29 * MINUTE)
    alive()
  }
  await vi.advanceTimersByTimeAsync(29 * MINUTE)
  expect(over).toBe(false)
  await vi.advanceTimersByTimeAsync(MINUTE)
  await ended
})

test('a percent of a huge image may take as long as it takes at 10 MB/s', () => {
  expect(defaultStallTimeoutMs(10e9)).toBe(30 * MINUTE)
  expect(defaultStallTimeoutMs(10e12)).toBe(10_000_000)
})

test('a program that hangs in the kernel is told of with what it was to copy', async () => {
  const ctx = { signal: new AbortController().signal, log: silentLogger }
  const stuck = new AgentError('COMMAND_STUCK', 'qemu-img does not end', { details: { pid: '7' } })
  const patience = { timeoutMs: 5_000, what: 'the copy of a into b' }
  const hangs = ({ signal }: OpContext) =>
    new Promise((_, reject) => signal.addEventListener('abort', () => reject(stuck)))
  const copy = expect(withStallTimeout(patience, ctx, hangs)).rejects.toMatchObject({
    reason: 'COMMAND_STUCK',
    message: 'the copy of a into b made no progress for 5 s, and qemu-img does not end',
    details: { pid: '7' },
  })
  await vi.advanceTimersByTimeAsync(5_000)
  await copy
  await expect(withStallTimeout(patience, ctx, () => Promise.reject(stuck))).rejects.toBe(stuck)
})
