/** Things that happened, in order, and a way to wait for the next one without polling. */
export class Recorder<T> {
  readonly items: T[] = []
  readonly #watchers = new Set<(item: T) => void>()

  add(item: T): void {
    this.items.push(item)
    for (const watcher of [...this.#watchers]) watcher(item)
  }

  /** The first item that fits among those from index `from` on, past or future. Rejects when the signal fires. */
  async waitFor(fits: (item: T) => boolean, signal: AbortSignal, from = 0): Promise<T> {
    signal.throwIfAborted()
    const known = this.items.slice(from).find(fits)
    if (known !== undefined) return known
    const { promise, resolve, reject } = Promise.withResolvers<T>()
    const watcher = (item: T) => {
      if (fits(item)) resolve(item)
    }
    const onAbort = () => reject(signal.reason as Error)
    this.#watchers.add(watcher)
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      return await promise
    } finally {
      this.#watchers.delete(watcher)
      signal.removeEventListener('abort', onAbort)
    }
  }
}
