import { Recorder } from './recorder.ts'

/** One call and its answer, of either side. Bodies are JSON as they were on the wire (gRPC: as protobuf maps to JSON). */
export interface Exchange {
  /** Milliseconds since the session began, when the call was made. */
  readonly at: number
  readonly from: 'agent' | 'control-plane'
  /** The agent: its host name where the control plane was called, its address where it was. */
  readonly agent: string
  readonly over: 'connect' | 'grpc' | 'http'
  /** `UpdateHeartbeat`, `InitStoragePool`, `POST /api/v1/images/download`. */
  readonly call: string
  readonly request: unknown
  /** `ok`, the name of a Connect or gRPC code, an HTTP status, or `none` when nothing was answered. */
  readonly outcome: string
  /** An answer to the agent that has an HTTP status is none of the protocol: then this is its text. */
  readonly response: unknown
  /** Of such an answer. */
  readonly headers?: Readonly<Record<string, string>>
}

/** Everything that was said between a control plane and its agents, in the order of the answers. */
export class Traffic {
  readonly #exchanges = new Recorder<Exchange>()
  readonly #startedAt = performance.now()

  get exchanges(): readonly Exchange[] {
    return this.#exchanges.items
  }

  /** Time for `Exchange.at`. */
  now(): number {
    return Math.round(performance.now() - this.#startedAt)
  }

  add(exchange: Exchange): void {
    this.#exchanges.add(exchange)
  }

  /** Runs `work`, which makes the call, and keeps what came of it. `outcomeOf` names a failure. */
  async record<T>(
    about: Omit<Exchange, 'at' | 'outcome' | 'response'>,
    work: () => Promise<T>,
    outcomeOf: (error: unknown) => string,
  ): Promise<T> {
    const at = this.now()
    try {
      const response = await work()
      this.add({ at, ...about, outcome: 'ok', response })
      return response
    } catch (error) {
      this.add({ at, ...about, outcome: outcomeOf(error), response: null })
      throw error
    }
  }

  /** The first exchange that fits, past or future. */
  waitFor(fits: (exchange: Exchange) => boolean, signal: AbortSignal, from = 0): Promise<Exchange> {
    return this.#exchanges.waitFor(fits, signal, from)
  }
}
