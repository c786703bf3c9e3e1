import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import type { PoolObservation } from '../core/model.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { ProbeResult } from './backend.ts'
import { healthAt, nextHealth, type HealthState } from './health.ts'

export interface HealthMonitorOptions {
  /** Time between two looks at a pool; after a contradicting one the next comes four times as soon. */
  readonly periodMs: number
  /** One look, bounded in time; never rejects for a bad pool. */
  readonly look: (poolId: string, signal: AbortSignal) => Promise<ProbeResult>
  readonly log: Logger
}

interface Watched {
  state: HealthState | undefined
  timer: NodeJS.Timeout | undefined
  readonly controller: AbortController
  readonly observed: PromiseWithResolvers<void>
}

/** Looks at every pool at its own pace, so that a dead one delays no other, and remembers what it saw: readers never wait. */
export class HealthMonitor {
  readonly #options: HealthMonitorOptions
  readonly #watched = new Map<string, Watched>()
  readonly #listeners = new Set<() => void>()

  constructor(options: HealthMonitorOptions) {
    this.#options = options
  }

  /** Begins to look at a pool: at once, or a period after `seen`, when somebody has just looked. For one that is watched, `seen` is taken in. */
  watch(poolId: string, seen?: ProbeResult): void {
    if (this.#watched.has(poolId)) {
      if (seen !== undefined) this.record(poolId, seen)
      return
    }
    const watched: Watched = {
      state: undefined,
      timer: undefined,
      controller: new AbortController(),
      observed: Promise.withResolvers<void>(),
    }
    this.#watched.set(poolId, watched)
    if (seen !== undefined) this.record(poolId, seen)
    this.#schedule(poolId, watched, seen === undefined ? 0 : this.#options.periodMs)
  }

  /** Stops looking at a pool and forgets what was seen. */
  unwatch(poolId: string): void {
    const watched = this.#watched.get(poolId)
    if (watched === undefined) return
    this.#watched.delete(poolId)
    clearTimeout(watched.timer)
    watched.controller.abort()
    watched.observed.resolve()
  }

  /** Calls `listener` when the health of a pool has changed; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Stops everything. */
  stop(): void {
    for (const poolId of [...this.#watched.keys()]) this.unwatch(poolId)
  }

  /** Takes in a probe that somebody else made. */
  record(poolId: string, probe: ProbeResult): void {
    const watched = this.#watched.get(poolId)
    if (watched === undefined) return
    const before = watched.state
    watched.state = nextHealth(before, probe, monotonicMs())
    watched.observed.resolve()
    const { health, reason, message } = watched.state.shown
    if (before?.shown.health === health) return
    const fields = { pool: poolId, from: before?.shown.health, to: health, reason, detail: message }
    if (health === 'HEALTHY') this.#options.log.info(fields, 'pool health changed')
    else this.#options.log.warn(fields, 'pool health changed')
    for (const listener of this.#listeners) listener()
  }

  /** What is known of a pool now; UNKNOWN when nothing is, or nothing recent. */
  observation(poolId: string): PoolObservation {
    return healthAt(this.#watched.get(poolId)?.state, monotonicMs(), 2 * this.#options.periodMs)
  }

  /** Resolves when every pool that is watched now has been looked at once. */
  async observedOnce(): Promise<void> {
    await Promise.all([...this.#watched.values()].map((watched) => watched.observed.promise))
  }

  #schedule(poolId: string, watched: Watched, delayMs: number): void {
    // Jitter keeps the probes of many pools apart.
    watched.timer = setTimeout(() => void this.#tick(poolId, watched), delayMs * (0.9 + Math.random() * 0.2))
    watched.timer.unref()
  }

  async #tick(poolId: string, watched: Watched): Promise<void> {
    // A pool that is bad and still being tried (a mount takes long) is still bad, not unknown: from the first moment, as most of the age it may have is over by then.
    const stillBad = () => {
      const { state } = watched
      if (state?.badSinceMs !== undefined) watched.state = { ...state, probedAtMs: monotonicMs() }
    }
    stillBad()
    const repeated = setInterval(stillBad, this.#options.periodMs)
    repeated.unref()
    try {
      const probe = await this.#options.look(poolId, watched.controller.signal)
      if (!watched.controller.signal.aborted) this.record(poolId, probe)
    } catch (error) {
      if (!watched.controller.signal.aborted) {
        this.#options.log.error({ pool: poolId, err: errorText(error) }, 'a look at the pool failed')
      }
    } finally {
      clearInterval(repeated)
    }
    if (watched.controller.signal.aborted) return
    const { periodMs } = this.#options
    this.#schedule(poolId, watched, (watched.state?.contradictions ?? 0) > 0 ? periodMs / 4 : periodMs)
  }
}
