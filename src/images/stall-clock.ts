import { AgentError } from '../core/errors.ts'
import { monotonicMs } from '../platform/clock.ts'

/** Counters of a running transfer; `waitingFor` tells whose turn it is. */
export interface TransferCounters {
  readonly bytesReceived: number
  readonly bytesDurable: number
}

/**
 * Two clocks instead of a total timeout: one stops when no byte arrives although the transfer could take it, the other when bytes in hand do not become durable. Pure
 * but for `now`, so that tests drive it.
 */
export class StallClock {
  readonly #timeoutMs: number
  readonly #now: () => number
  #received = 0
  #durable = 0
  #receivedAt: number
  #durableAt: number

  constructor(timeoutMs: number, now: () => number = monotonicMs) {
    this.#timeoutMs = timeoutMs
    this.#now = now
    this.#receivedAt = this.#durableAt = now()
  }

  /** Called regularly with fresh counters; `receiving` is false while the sink is full or the body has ended. Throws DOWNLOAD_STALLED. */
  check(counters: TransferCounters, receiving: boolean): void {
    const now = this.#now()
    if (counters.bytesReceived !== this.#received || !receiving) this.#receivedAt = now
    if (counters.bytesDurable !== this.#durable || counters.bytesDurable >= counters.bytesReceived) {
      this.#durableAt = now
    }
    this.#received = counters.bytesReceived
    this.#durable = counters.bytesDurable
    if (now - this.#receivedAt >= this.#timeoutMs) throw this.#stalled('no byte arrived', counters)
    // Bytes wait for a full chunk before they are written: only a blocked writer is the pool's fault.
    if (!receiving && now - this.#durableAt >= this.#timeoutMs) throw this.#stalled('no byte became durable', counters)
  }

  #stalled(what: string, counters: TransferCounters): AgentError {
    return new AgentError(
      'DOWNLOAD_STALLED',
      `${what} for ${this.#timeoutMs / 1000} s (${counters.bytesReceived} bytes received, ${counters.bytesDurable} durable)`,
    )
  }
}
