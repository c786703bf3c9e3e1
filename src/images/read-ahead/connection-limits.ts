import type { AgentError } from '../../core/errors.ts'
import { monotonicMs } from '../../platform/clock.ts'
import { backOffMs } from '../retries.ts'

interface Limit {
  /** How many are used; one more than `served` while it is not known whether that one is served as well. */
  connections: number
  /** How many were served at last. */
  served: number
  /** Refusals in a row of one more. */
  refusals: number
  /** When one more is tried. */
  nextAt: number
}

export interface LimitClock {
  readonly now?: () => number
  /** 0 to 1. */
  readonly random?: () => number
}

const PAUSES = { firstMs: 5_000, mostMs: 300_000 }

/**
 * How many connections each source turned out to serve, and when one more is tried: what was refused may have been the trouble of a moment. Longer and longer pauses, for a server that means it. Pure but for clock and chance.
 */
export class ConnectionLimits {
  readonly #most: number
  readonly #now: () => number
  readonly #random: () => number
  readonly #limits = new Map<number, Limit>()

  constructor(most: number, { now = monotonicMs, random = Math.random }: LimitClock = {}) {
    this.#most = most
    this.#now = now
    this.#random = random
  }

  /** How many are used for a source. */
  of(source: number): number {
    return this.#limits.get(source)?.connections ?? this.#most
  }

  /** Allows one more where it is time to; returns how many are used from now on. */
  raise(source: number): number {
    const limit = this.#limits.get(source)
    if (limit !== undefined && this.#now() >= limit.nextAt) {
      limit.connections++
      // Until it is told what became of that one.
      limit.nextAt = Infinity
    }
    return this.of(source)
  }

  /** A source refused all but `connections`; true when that is fewer than before. One that was silent is not tried again: each time all others would wait for it. */
  refuse(source: number, connections: number, { reason, details }: AgentError): boolean {
    const before = this.#limits.get(source)
    const served = before?.served ?? this.#most
    const left = Math.min(connections, served)
    const refusals = (before?.refusals ?? 0) + (before === undefined || left === served ? 1 : 0)
    const pauseMs = Math.max(backOffMs(refusals, PAUSES, this.#random), Number(details['retryAfterMs'] ?? 0))
    const nextAt = reason === 'DOWNLOAD_STALLED' ? Infinity : this.#now() + pauseMs
    this.#limits.set(source, { connections: left, served: left, refusals, nextAt })
    return left < served
  }

  /** A source serves `connections`; true when that is more than before. */
  serve(source: number, connections: number): boolean {
    const limit = this.#limits.get(source)
    if (limit === undefined || connections <= limit.served) return false
    if (connections >= this.#most) this.#limits.delete(source)
    else this.#limits.set(source, { connections, served: connections, refusals: 0, nextAt: this.#now() })
    return true
  }

  /** One connection is used for a source from now on. */
  narrow(source: number): void {
    this.#limits.set(source, { connections: 1, served: 1, refusals: 0, nextAt: Infinity })
  }
}
