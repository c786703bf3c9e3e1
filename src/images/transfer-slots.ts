interface Waiter {
  readonly server: string
  readonly take: () => void
}

/** Limits how many transfers run at once, in all and from one server; the rest waits in order. One that waits for its server lets others pass. */
export class TransferSlots {
  #free: number
  readonly #perServer: number
  readonly #busy = new Map<string, number>()
  readonly #waiting: Waiter[] = []

  constructor(count: number, perServer = Infinity) {
    this.#free = count
    this.#perServer = perServer
  }

  /** Waits for a slot, for work that asks `server` if any, and returns its release function (call once). Rejects with the signal's reason. */
  async acquire(signal: AbortSignal, server = ''): Promise<() => void> {
    signal.throwIfAborted()
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const waiter = { server, take: resolve }
    const onAbort = () => {
      const index = this.#waiting.indexOf(waiter)
      // A slot that was given at this moment is used, and given back by its owner.
      if (index < 0) return
      this.#waiting.splice(index, 1)
      reject(signal.reason)
    }
    this.#waiting.push(waiter)
    signal.addEventListener('abort', onAbort, { once: true })
    this.#give()
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
    }
    return () => {
      this.#free++
      this.#count(server, -1)
      this.#give()
    }
  }

  /** A place in them that is taken and given back as one job needs it; it is not taken yet. */
  place(server?: string): TransferPlace {
    return new TransferPlace(this, server)
  }

  #give(): void {
    while (this.#free > 0) {
      const index = this.#waiting.findIndex(
        ({ server }) => server === '' || (this.#busy.get(server) ?? 0) < this.#perServer,
      )
      const [next] = index < 0 ? [] : this.#waiting.splice(index, 1)
      if (next === undefined) return
      this.#free--
      this.#count(next.server, 1)
      next.take()
    }
  }

  #count(server: string, change: number): void {
    const count = (this.#busy.get(server) ?? 0) + change
    if (count === 0) this.#busy.delete(server)
    else this.#busy.set(server, count)
  }
}

/** The slot of one job: held while it moves bytes, and not while it waits for another host. */
export class TransferPlace {
  readonly #slots: TransferSlots
  readonly #server: string | undefined
  #release: (() => void) | undefined

  constructor(slots: TransferSlots, server: string | undefined) {
    this.#slots = slots
    this.#server = server
  }

  get isHeld(): boolean {
    return this.#release !== undefined
  }

  /** Waits for a slot unless there is one. Rejects with the signal's reason. */
  async take(signal: AbortSignal): Promise<void> {
    this.#release ??= await this.#slots.acquire(signal, this.#server)
  }

  giveBack(): void {
    this.#release?.()
    this.#release = undefined
  }
}
