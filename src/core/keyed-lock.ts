/** Mutual exclusion per key, first come first served; waiting can be aborted. */
export class KeyedLock {
  readonly #tails = new Map<string, Promise<void>>()

  /** Runs `work` while holding `key`; rejects with the signal's reason when it fires before the lock was had. */
  async run<T>(key: string, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const release = await this.acquire(key, signal)
    try {
      return await work()
    } finally {
      release()
    }
  }

  /** Holds all `keys` at once; they are taken in sorted order so that two callers cannot deadlock. */
  async runAll<T>(keys: readonly string[], signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    const releases: (() => void)[] = []
    try {
      for (const key of [...new Set(keys)].sort()) releases.push(await this.acquire(key, signal))
      return await work()
    } finally {
      for (const release of releases.reverse()) release()
    }
  }

  /** Takes `key` and returns its release function (idempotent). */
  async acquire(key: string, signal: AbortSignal): Promise<() => void> {
    signal.throwIfAborted()
    const previous = this.#tails.get(key) ?? Promise.resolve()
    const { promise: mine, resolve: finish } = Promise.withResolvers<void>()
    const tail = previous.then(() => mine)
    this.#tails.set(key, tail)
    const forget = () => {
      if (this.#tails.get(key) === tail) this.#tails.delete(key)
    }
    try {
      await abortable(previous, signal)
    } catch (error) {
      // The holder in front goes on: the key is free only when that one has released it too.
      finish()
      void tail.then(forget)
      throw error
    }
    return () => {
      finish()
      forget()
    }
  }

  /** True while somebody holds or waits for `key`. */
  isHeld(key: string): boolean {
    return this.#tails.has(key)
  }
}

/** Waits for `promise`, or rejects with the signal's reason, whichever comes first; the promise itself goes on. */
export async function abortable<T>(promise: Promise<T>, signal: AbortSignal): Promise<T> {
  // Nobody else may be listening to it when nobody waits any more.
  promise.catch(() => undefined)
  signal.throwIfAborted()
  const { promise: aborted, reject } = Promise.withResolvers<never>()
  const onAbort = () => reject(signal.reason as Error)
  signal.addEventListener('abort', onAbort, { once: true })
  try {
    return await Promise.race([promise, aborted])
  } finally {
    signal.removeEventListener('abort', onAbort)
  }
}
