import { monotonicMs } from '../platform/clock.ts'

interface Bucket {
  tokens: number
  atMs: number
  heldBack: number
}

const MAX_KEYS = 10_000

/** Limits events that a guest can cause as often as it likes: some at once, then one in a while that tells how many were left out. */
export class EventPace {
  readonly #burst: number
  readonly #periodMs: number
  readonly #now: () => number
  readonly #buckets = new Map<string, Bucket>()

  constructor(burst: number, periodMs: number, now: () => number = monotonicMs) {
    this.#burst = burst
    this.#periodMs = periodMs
    this.#now = now
  }

  /** How many with this key were held back since the last one that passed; undefined when this one is to be held back too. */
  pass(key: string): number | undefined {
    const now = this.#now()
    const bucket = this.#buckets.get(key) ?? { tokens: this.#burst, atMs: now, heldBack: 0 }
    bucket.tokens = Math.min(this.#burst, bucket.tokens + (now - bucket.atMs) / this.#periodMs)
    bucket.atMs = now
    // Anew at the end: the first ones of the map are those that were quiet for longest.
    this.#buckets.delete(key)
    this.#buckets.set(key, bucket)
    if (this.#buckets.size > MAX_KEYS) this.#buckets.delete(this.#buckets.keys().next().value ?? '')
    if (bucket.tokens < 1) {
      bucket.heldBack++
      return undefined
    }
    bucket.tokens -= 1
    const heldBack = bucket.heldBack
    bucket.heldBack = 0
    return heldBack
  }
}
