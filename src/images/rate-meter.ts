import { monotonicMs } from '../platform/clock.ts'

const WINDOW_MS = 10_000

/** Bytes per second over the last 10 seconds. */
export class RateMeter {
  readonly #now: () => number
  #samples: { at: number; bytes: number }[] = []

  constructor(now: () => number = monotonicMs) {
    this.#now = now
  }

  /** Notes the total so far. */
  update(bytes: number): void {
    const at = this.#now()
    this.#samples.push({ at, bytes })
    while (this.#samples.length > 2 && at - (this.#samples[0]?.at ?? at) > WINDOW_MS) this.#samples.shift()
  }

  /** 0 until two totals are known. */
  bytesPerSecond(): number {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || last.at <= first.at) return 0
    return Math.round(((last.bytes - first.bytes) * 1000) / (last.at - first.at))
  }
}
