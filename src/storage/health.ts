import type { PoolHealth, PoolObservation } from '../core/model.ts'
import type { ProbeResult } from './backend.ts'
import { CERTAIN_REASONS } from './probe-result.ts'

/** Probes in a row that must agree before a pool changes between good and bad. */
const AGREEING_PROBES = 2

/** Health of one pool as it is shown, and what is needed to judge the next probe. Clock: monotonic ms. */
export interface HealthState {
  readonly shown: PoolObservation
  /** When the last probe ended. The numbers of `shown` can be older: `observedAt` has their time. */
  readonly probedAtMs: number
  /** Probes in a row that contradict `shown`; more than 0 asks for another look soon. */
  readonly contradictions: number
  /** When it turned bad; undefined while good. */
  readonly badSinceMs?: number
}

/**
 * The state after a probe. Good and bad change places only after two agreeing probes, except that the first look counts at once, and so does the certainty that
 * the storage is gone or not the right one.
 */
export function nextHealth(before: HealthState | undefined, probe: ProbeResult, nowMs: number): HealthState {
  const good = probe.health === 'HEALTHY'
  if (before === undefined || good === (before.shown.health === 'HEALTHY')) return settled(before, probe, nowMs)
  const contradictions = before.contradictions + 1
  const certain = !good && CERTAIN_REASONS.includes(probe.reason)
  if (certain || contradictions >= AGREEING_PROBES) return settled(before, probe, nowMs)
  if (good) {
    const message = `answers again; healthy after ${AGREEING_PROBES} good probes in a row (was: ${before.shown.message})`
    const { health, reason } = before.shown
    return { ...before, shown: { ...probe, health, reason, message }, probedAtMs: nowMs, contradictions }
  }
  // The numbers stay those of the last good look, with its time.
  const shown = { ...before.shown, message: `the last probe failed: ${probe.message}` }
  return { ...before, shown, probedAtMs: nowMs, contradictions }
}

/** What is to be shown at `nowMs`: older than `maxAgeMs` is UNKNOWN, whatever it was. */
export function healthAt(state: HealthState | undefined, nowMs: number, maxAgeMs: number): PoolObservation {
  if (state === undefined) return unknown('NOT_OBSERVED', 'the pool has not been looked at yet')
  const { shown } = state
  const ageMs = nowMs - state.probedAtMs
  if (ageMs > maxAgeMs) {
    const message = `no probe has ended for ${seconds(ageMs)} s${shown.message === '' ? '' : `; the last one said: ${shown.message}`}`
    return { ...shown, health: 'UNKNOWN', reason: 'STALE_OBSERVATION', message }
  }
  if (state.badSinceMs === undefined) return shown
  return { ...shown, message: `${shown.message} (for ${seconds(nowMs - state.badSinceMs)} s)` }
}

function settled(before: HealthState | undefined, probe: ProbeResult, nowMs: number): HealthState {
  const bad = probe.health === 'HEALTHY' ? {} : { badSinceMs: before?.badSinceMs ?? nowMs }
  return { shown: probe, probedAtMs: nowMs, contradictions: 0, ...bad }
}

function unknown(reason: string, message: string): PoolObservation {
  const health: PoolHealth = 'UNKNOWN'
  const none = { totalBytes: 0, usedBytes: 0, availableBytes: 0, volumeCount: 0, observedAt: 0, probeLatencyMs: 0 }
  return { health, reason, message, ...none }
}

function seconds(ms: number): number {
  return Math.round(ms / 1000)
}
