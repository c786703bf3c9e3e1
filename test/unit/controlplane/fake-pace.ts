import type { Pace } from '../../../src/controlplane/pace.ts'

interface Sleeper {
  readonly dueMs: number
  readonly wake: () => void
}

/** A clock that stands still until the test moves it. */
export class FakePace implements Pace {
  #nowMs = 0
  #sleepers: Sleeper[] = []
  #watchers: (() => void)[] = []
  /** What `random` answers. */
  chance = 0

  now(): number {
    return this.#nowMs
  }

  random(): number {
    return this.chance
  }

  delay(ms: number, signal: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      signal.throwIfAborted()
      const remove = () => {
        this.#sleepers = this.#sleepers.filter((other) => other !== sleeper)
        signal.removeEventListener('abort', onAbort)
      }
      const onAbort = () => {
        remove()
        reject(signal.reason as Error)
      }
      const sleeper: Sleeper = {
        dueMs: this.#nowMs + ms,
        wake: () => {
          remove()
          resolve()
        },
      }
      signal.addEventListener('abort', onAbort, { once: true })
      this.#sleepers.push(sleeper)
      for (const watcher of this.#watchers.splice(0)) watcher()
    })
  }

  /** Waits until `count` sleep and returns when the first of them is due. */
  async untilAsleep(count = 1): Promise<number> {
    while (this.#sleepers.length < count) await new Promise<void>((resolve) => this.#watchers.push(resolve))
    return Math.min(...this.#sleepers.map((sleeper) => sleeper.dueMs))
  }

  /** When the first of those who sleep is due; undefined when nobody does. */
  nextDue(): number | undefined {
    return this.#sleepers.length === 0 ? undefined : Math.min(...this.#sleepers.map((sleeper) => sleeper.dueMs))
  }

  /** Moves the clock; wakes who is due. */
  advance(ms: number): void {
    this.#nowMs += ms
    for (const sleeper of this.#sleepers.filter((candidate) => candidate.dueMs <= this.#nowMs)) sleeper.wake()
  }

  /** Waits until `count` sleep, then moves to the moment the first is due. */
  async skip(count = 1): Promise<void> {
    this.advance((await this.untilAsleep(count)) - this.#nowMs)
  }
}
