import { AgentError } from '../core/errors.ts'
import { monotonicMs } from '../platform/clock.ts'

/** Counters of a running transfer; `waitingFor` tells whose turn it is. */
export interface TransferCounters {
  readonly bytesReceived: number
  readonly bytesDurable: number
}

/** What counts at most between two looks: a process that did not run has not seen the bytes that wait for it. */
const MAX_GAP_MS = 1_000

/**
 * Two clocks instead of a total timeout: one stops when no byte arrives although the transfer could take it, the other when bytes in hand do not become durable. Pure
 * but for `now`, so that tests drive it.
 */
export class StallClock {
  readonly #timeoutMs: number
  readonly #now: () => number
  #received = 0
  #durable = 0
  #askedAt: number
  /** How long no byte arrived, and how long none became durable. */
  #silentMs = 0
  #blockedMs = 0

  constructor(timeoutMs: number, now: () => number = monotonicMs) {
    this.#timeoutMs = timeoutMs
    this.#now = now
    this.#askedAt = now()
  }

  /** Called regularly with fresh counters; `receiving` is false while the sink is full or the body has ended. Throws DOWNLOAD_STALLED, with the detail `waitingFor`: `server` or `disk`. */
  check(counters: TransferCounters, receiving: boolean): void {
    const now = this.#now()
    const passed = Math.min(now - this.#askedAt, MAX_GAP_MS)
    this.#askedAt = now
    this.#silentMs = counters.bytesReceived !== this.#received || !receiving ? 0 : this.#silentMs + passed
    // Bytes wait for a full chunk before they are written: only a blocked writer is the pool's fault.
    const isDry = counters.bytesDurable >= counters.bytesReceived
    this.#blockedMs = receiving || isDry || counters.bytesDurable !== this.#durable ? 0 : this.#blockedMs + passed
    this.#received = counters.bytesReceived
    this.#durable = counters.bytesDurable
    if (this.#silentMs >= this.#timeoutMs) throw this.#stalled('server', counters)
    if (this.#blockedMs >= this.#timeoutMs) throw this.#stalled('disk', counters)
  }

  /** Begins anew: nothing was waited for meanwhile. */
  rest(): void {
    this.#askedAt = this.#now()
    this.#silentMs = this.#blockedMs = 0
  }

  #stalled(waitingFor: 'server' | 'disk', counters: TransferCounters): AgentError {
    const what = waitingFor === 'server' ? 'no byte arrived' : 'no byte became durable'
    return new AgentError(
      'DOWNLOAD_STALLED',
      `${what} for ${this.#timeoutMs / 1000} s (${counters.bytesReceived} bytes received, ${counters.bytesDurable} durable)`,
      { details: { waitingFor } },
    )
  }
}
