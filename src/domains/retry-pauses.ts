const FIRST_PAUSE_MS = 5_000
const LONGEST_PAUSE_MS = 10 * 60_000

/** Pauses between tries of something, longer each time, by key. Who is told of changes in between does not try again. */
export class RetryPauses {
  readonly #pauses = new Map<string, { readonly ms: number; timer: NodeJS.Timeout | undefined }>()
  readonly #retry: (key: string) => void

  /** `retry` is called when a pause is over. */
  constructor(retry: (key: string) => void) {
    this.#retry = retry
  }

  /** True until the time to try again. */
  isPausing(key: string): boolean {
    return this.#pauses.get(key)?.timer !== undefined
  }

  /** Another pause; true when it is not the first one. */
  pause(key: string): boolean {
    const before = this.#pauses.get(key)
    clearTimeout(before?.timer)
    const ms = before === undefined ? FIRST_PAUSE_MS : Math.min(before.ms * 2, LONGEST_PAUSE_MS)
    const timer = setTimeout(() => {
      pause.timer = undefined
      this.#retry(key)
    }, ms)
    timer.unref()
    const pause: { readonly ms: number; timer: NodeJS.Timeout | undefined } = { ms, timer }
    this.#pauses.set(key, pause)
    return before !== undefined
  }

  /** It has succeeded, or there is nothing to try any more. */
  forget(key: string): void {
    clearTimeout(this.#pauses.get(key)?.timer)
    this.#pauses.delete(key)
  }

  stop(): void {
    for (const key of [...this.#pauses.keys()]) this.forget(key)
  }
}
