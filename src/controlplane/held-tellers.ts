import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'

/** One who tells the control plane of what is on this host, from the moment the host is known there. Returns at once. */
export interface Teller {
  registered(nodeId: string): void
}

/**
 * Keeps registrations from `tellers` until `recovered` resolves, and then passes on the newest: told of what is being undone, a control plane would keep a record of it. Heartbeats
 * do not wait for that.
 */
export class HeldTellers implements Teller {
  readonly #tellers: readonly Teller[]
  #released = false
  #nodeId: string | undefined

  constructor(recovered: Promise<void>, tellers: readonly Teller[], log: Logger) {
    this.#tellers = tellers
    recovered
      .then(() => this.#release())
      .catch((error: unknown) => log.error({ err: errorText(error) }, 'nothing of this host could be told'))
  }

  /** False while registrations are kept back. */
  get released(): boolean {
    return this.#released
  }

  /** The control plane knows this host (again), by this id. */
  registered(nodeId: string): void {
    this.#nodeId = nodeId
    if (this.#released) for (const teller of this.#tellers) teller.registered(nodeId)
  }

  #release(): void {
    this.#released = true
    if (this.#nodeId !== undefined) this.registered(this.#nodeId)
  }
}
