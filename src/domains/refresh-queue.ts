/** One run for a key; `again` when somebody wished for a newer answer meanwhile. */
export interface RefreshRun {
  again: boolean
  /** After a gap without events: tell the changes that are found. */
  tellChanges: boolean
}

interface Running extends RefreshRun {
  done: Promise<void>
}

/** Reads one thing at most once at a time: whoever asks during a read waits for one more, since what is being read may be older than the question. */
export class RefreshQueue {
  readonly #read: (key: string, run: RefreshRun) => Promise<void>
  readonly #running = new Map<string, Running>()

  /** `read` is told by `run.again` that its answer is out of date. */
  constructor(read: (key: string, run: RefreshRun) => Promise<void>) {
    this.#read = read
  }

  /** Resolves when `key` has been read after this call; rejects with what `read` throws. */
  async refresh(key: string, tellChanges = false): Promise<void> {
    const present = this.#running.get(key)
    if (present !== undefined) {
      present.again = true
      present.tellChanges ||= tellChanges
      return present.done
    }
    const run: Running = { again: false, tellChanges, done: Promise.resolve() }
    this.#running.set(key, run)
    run.done = this.#repeat(key, run)
    return run.done
  }

  async #repeat(key: string, run: Running): Promise<void> {
    try {
      do {
        run.again = false
        await this.#read(key, run)
      } while (run.again)
    } finally {
      this.#running.delete(key)
    }
  }
}
