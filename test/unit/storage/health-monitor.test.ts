import { afterEach, beforeEach, expect, test, vi } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { ProbeResult } from '../../../src/storage/backend.ts'
import { HealthMonitor } from '../../../src/storage/health-monitor.ts'
import { unreachable } from '../../../src/storage/probe-result.ts'
import { AgentError } from '../../../src/core/errors.ts'

const good: ProbeResult = { ...unreachable(new Error('x'), 0), health: 'HEALTHY', reason: 'OK', message: '' }
const bad = unreachable(new AgentError('DEADLINE_EXCEEDED', 'no answer'), 0)

beforeEach(() => {
  vi.useFakeTimers()
})
afterEach(() => {
  vi.useRealTimers()
  vi.restoreAllMocks()
})

function monitor(look: (poolId: string, signal: AbortSignal) => Promise<ProbeResult>): HealthMonitor {
  return new HealthMonitor({ periodMs: 10_000, look, log: silentLogger })
}

test('a pool is looked at at once and then every period', async () => {
  let looks = 0
  const health = monitor(() => (looks++, Promise.resolve(good)))
  health.watch('a')
  await vi.advanceTimersByTimeAsync(1)
  expect(looks).toBe(1)
  await vi.advanceTimersByTimeAsync(110_000)
  expect(looks).toBeGreaterThanOrEqual(10)
  expect(looks).toBeLessThanOrEqual(13)
  health.stop()
})

test('a pool that was just looked at is shown so, and looked at again after a period', async () => {
  let looks = 0
  const health = monitor(() => (looks++, Promise.resolve(good)))
  health.watch('a', good)
  expect(health.observation('a').health).toBe('HEALTHY')
  await vi.advanceTimersByTimeAsync(8_900)
  expect(looks).toBe(0)
  await vi.advanceTimersByTimeAsync(2_200)
  expect(looks).toBe(1)
  health.stop()
})

test('a look that hangs delays no other pool, is not repeated meanwhile, and its pool becomes unknown', async () => {
  const looks: string[] = []
  const health = monitor((poolId) => {
    looks.push(poolId)
    return poolId === 'dead' && looks.filter((each) => each === 'dead').length > 1
      ? new Promise(() => undefined)
      : Promise.resolve(good)
  })
  health.watch('dead')
  health.watch('live')
  await vi.advanceTimersByTimeAsync(1)
  expect(health.observation('dead').health).toBe('HEALTHY')
  await vi.advanceTimersByTimeAsync(60_000)
  expect(looks.filter((each) => each === 'dead')).toHaveLength(2)
  expect(looks.filter((each) => each === 'live').length).toBeGreaterThanOrEqual(5)
  expect(health.observation('dead').health).toBe('UNKNOWN')
  expect(health.observation('live').health).toBe('HEALTHY')
  health.stop()
})

test('a pool that stops answering leaves HEALTHY within 25 s and is back within 30 s of its first answer', async () => {
  let answer = good
  // A hung probe ends by its deadline of 4 s.
  const health = monitor(async () => {
    if (answer === bad) await new Promise((resolve) => setTimeout(resolve, 4_000))
    return answer
  })
  health.watch('a')
  await vi.advanceTimersByTimeAsync(1)
  answer = bad
  await vi.advanceTimersByTimeAsync(25_000)
  expect(health.observation('a').health).toBe('ERROR')
  await vi.advanceTimersByTimeAsync(60_000)
  expect(health.observation('a').message).toMatch(/^no answer \(for \d\d s\)$/)
  answer = good
  await vi.advanceTimersByTimeAsync(30_000)
  expect(health.observation('a').health).toBe('HEALTHY')
  health.stop()
})

test('a bad pool stays bad while a look at it takes long, whenever that look begins', async () => {
  // The latest that jitter lets a look begin.
  vi.spyOn(Math, 'random').mockReturnValue(0.999)
  let looks = 0
  const health = monitor(() => (looks++ === 0 ? Promise.resolve(bad) : new Promise(() => undefined)))
  health.watch('a')
  for (let tenths = 1; tenths < 600; tenths++) {
    await vi.advanceTimersByTimeAsync(100)
    expect([tenths, health.observation('a').health]).toEqual([tenths, bad.health])
  }
  expect(looks).toBe(2)
  health.stop()
})

test('a look that fails by itself is logged and tried again', async () => {
  let looks = 0
  const health = monitor(() => (looks++, looks === 1 ? Promise.reject(new Error('defect')) : Promise.resolve(good)))
  health.watch('a')
  await vi.advanceTimersByTimeAsync(12_000)
  expect(health.observation('a').health).toBe('HEALTHY')
  health.stop()
})

test('stopping ends the looks under way and never looks again', async () => {
  let aborted = false
  let looks = 0
  const health = monitor((_poolId, signal) => {
    looks++
    signal.addEventListener('abort', () => (aborted = true))
    return new Promise(() => undefined)
  })
  health.watch('a')
  const observed = health.observedOnce()
  await vi.advanceTimersByTimeAsync(1)
  health.stop()
  await observed
  await vi.advanceTimersByTimeAsync(100_000)
  expect([aborted, looks]).toEqual([true, 1])
})
