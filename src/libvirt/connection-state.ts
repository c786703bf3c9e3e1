/** `resyncing` means connected, with events registered, while consumers list everything again. */
export type ConnectionPhase = 'connecting' | 'resyncing' | 'connected' | 'disconnected' | 'closed'

/** State of the client as others see it. */
export interface ConnectionState {
  readonly phase: ConnectionPhase
  /** Milliseconds since the epoch. */
  readonly since: number
  /** Why there is no connection, when there is none. */
  readonly error?: Error
}

/** A value that tells its listeners when it changes. */
export class ObservableState {
  #value: ConnectionState = { phase: 'connecting', since: Date.now() }
  readonly #listeners = new Set<(state: ConnectionState) => void>()
  readonly #onListenerError: (error: unknown) => void

  constructor(onListenerError: (error: unknown) => void) {
    this.#onListenerError = onListenerError
  }

  get value(): ConnectionState {
    return this.#value
  }

  set(phase: ConnectionPhase, error?: Error): void {
    const since = phase === this.#value.phase ? this.#value.since : Date.now()
    this.#value = error === undefined ? { phase, since } : { phase, since, error }
    for (const listener of [...this.#listeners]) {
      try {
        listener(this.#value)
      } catch (error) {
        this.#onListenerError(error)
      }
    }
  }

  onChange(listener: (state: ConnectionState) => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }
}
