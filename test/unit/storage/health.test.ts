import { describe, expect, test } from 'vitest'
import type { PoolHealth } from '../../../src/core/model.ts'
import type { ProbeResult } from '../../../src/storage/backend.ts'
import { healthAt, nextHealth, type HealthState } from '../../../src/storage/health.ts'

const PERIOD_MS = 10_000

function probe(health: PoolHealth, reason = health === 'HEALTHY' ? 'OK' : 'DEADLINE_EXCEEDED'): ProbeResult {
  const space = { totalBytes: 100, usedBytes: 40, availableBytes: 60, volumeCount: 3 }
  return {
    health,
    reason,
    message: reason === 'OK' ? '' : `says ${reason}`,
    ...space,
    observedAt: 1,
    probeLatencyMs: 1,
  }
}

/** The health shown after each of a row of probes, one period apart. */
function shown(...probes: ProbeResult[]): string[] {
  let state: HealthState | undefined
  return probes.map((each, index) => {
    state = nextHealth(state, each, index * PERIOD_MS)
    return healthAt(state, index * PERIOD_MS, 2 * PERIOD_MS).health
  })
}

const good = probe('HEALTHY')
const slow = probe('ERROR')

describe('pool health', () => {
  test('the first look counts at once, whatever it says', () => {
    expect(shown(good)).toEqual(['HEALTHY'])
    expect(shown(slow)).toEqual(['ERROR'])
  })

  test('one failed probe does not make a pool bad, two do', () => {
    expect(shown(good, slow, slow)).toEqual(['HEALTHY', 'HEALTHY', 'ERROR'])
  })

  test('a single failure between good probes is never seen', () => {
    expect(shown(good, slow, good, slow, good)).toEqual(Array(5).fill('HEALTHY'))
  })

  test('one good probe does not heal a pool, two do', () => {
    expect(shown(slow, good, good)).toEqual(['ERROR', 'ERROR', 'HEALTHY'])
  })

  test.each(['POOL_PATH_MISSING', 'POOL_IDENTITY_MISMATCH'])('%s is certain and counts at once', (reason) => {
    expect(shown(good, probe('UNMOUNTED', reason))).toEqual(['HEALTHY', 'UNMOUNTED'])
  })

  test('a bad pool shows the newest kind of trouble', () => {
    expect(shown(slow, probe('UNMOUNTED', 'POOL_PATH_MISSING'))).toEqual(['ERROR', 'UNMOUNTED'])
  })

  test('a failure that does not count yet is a look all the same: the next one finds a pool that is not UNKNOWN', () => {
    const state = nextHealth(nextHealth(undefined, good, 0), slow, 1.5 * PERIOD_MS)
    expect(healthAt(state, 2.2 * PERIOD_MS, 2 * PERIOD_MS).health).toBe('HEALTHY')
    expect(healthAt(state, 3.6 * PERIOD_MS, 2 * PERIOD_MS).health).toBe('UNKNOWN')
  })

  test('a failure that does not count yet is told, with the numbers of the last good look', () => {
    const state = nextHealth(nextHealth(undefined, good, 0), { ...slow, availableBytes: 0 }, PERIOD_MS)
    expect(healthAt(state, PERIOD_MS, 2 * PERIOD_MS)).toMatchObject({ health: 'HEALTHY', availableBytes: 60 })
    expect(state.shown.message).toContain('says DEADLINE_EXCEEDED')
    expect(state.contradictions).toBe(1)
  })

  test('a bad pool says for how long', () => {
    const state = nextHealth(nextHealth(undefined, slow, 0), slow, 12_000)
    expect(healthAt(state, 42_000, 60_000).message).toBe('says DEADLINE_EXCEEDED (for 42 s)')
  })

  test('without a look it is unknown', () => {
    expect(healthAt(undefined, 0, 20_000)).toMatchObject({ health: 'UNKNOWN', reason: 'NOT_OBSERVED' })
  })

  test('an observation older than two periods is unknown, whatever it was', () => {
    const state = nextHealth(undefined, good, 0)
    expect(healthAt(state, 20_000, 2 * PERIOD_MS).health).toBe('HEALTHY')
    expect(healthAt(state, 20_001, 2 * PERIOD_MS)).toMatchObject({ health: 'UNKNOWN', reason: 'STALE_OBSERVATION' })
  })

  test('a full pool is healthy and keeps its warning', () => {
    const full = { ...good, reason: 'POOL_FULL', message: 'warning: the pool is full' }
    expect(healthAt(nextHealth(undefined, full, 0), 0, 20_000)).toMatchObject(full)
  })
})
