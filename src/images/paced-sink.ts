import { monotonicMs } from '../platform/clock.ts'
import type { ByteSink } from '../platform/direct-socket.ts'

/** Bytes that may pass are what a rate lets flow in this time; the rest waits. */
const BURST_MS = 100
/** Fewer bytes at once are not worth a read. */
const LEAST_BYTES = 4096

/** Lets bytes pass at a rate that can change at any time. Pure but for the clock. */
export class TokenBucket {
  readonly #now: () => number
  #bytesPerSecond = 0
  #tokens = 0
  #filledAt: number

  constructor(now: () => number = monotonicMs) {
    this.#now = now
    this.#filledAt = now()
  }

  /** 0 = no limit. */
  setRate(bytesPerSecond: number): void {
    this.#fill()
    this.#bytesPerSecond = bytesPerSecond
    this.#tokens = Math.min(this.#tokens, this.#burst)
  }

  /** Bytes that may pass now; 0 or less: none. */
  available(): number {
    if (this.#bytesPerSecond === 0) return Infinity
    this.#fill()
    return this.#tokens < LEAST_BYTES ? 0 : Math.floor(this.#tokens)
  }

  /** `bytes` have passed; more than were available make later ones wait. */
  take(bytes: number): void {
    if (this.#bytesPerSecond > 0) this.#tokens -= bytes
  }

  /** Milliseconds until bytes may pass again, at most BURST_MS: the rate may change meanwhile. */
  waitMs(): number {
    const missing = Math.max(LEAST_BYTES, this.#burst / 2) - this.#tokens
    return Math.max(1, Math.min(BURST_MS, (missing * 1000) / Math.max(1, this.#bytesPerSecond)))
  }

  get #burst(): number {
    return Math.max(LEAST_BYTES, (this.#bytesPerSecond * BURST_MS) / 1000)
  }

  #fill(): void {
    const now = this.#now()
    this.#tokens = Math.min(this.#burst, this.#tokens + ((now - this.#filledAt) * this.#bytesPerSecond) / 1000)
    this.#filledAt = now
  }
}

/** A sink in front of another one that is full while the bucket is empty. */
export class PacedSink implements ByteSink {
  onSpace: (() => void) | undefined
  readonly #sink: ByteSink
  readonly #bucket: TokenBucket
  #timer: NodeJS.Timeout | undefined

  constructor(sink: ByteSink, bucket: TokenBucket) {
    this.#sink = sink
    this.#bucket = bucket
    sink.onSpace = () => this.#offer()
  }

  space(): Uint8Array | undefined {
    const available = this.#bucket.available()
    if (available > 0) return this.#sink.space()?.subarray(0, available)
    this.#wait()
    return undefined
  }

  advance(bytes: number): void {
    this.#bucket.take(bytes)
    this.#sink.advance(bytes)
  }

  write(chunk: Uint8Array): boolean {
    this.#bucket.take(chunk.length)
    return this.#sink.write(chunk) && this.space() !== undefined
  }

  #wait(): void {
    this.#timer ??= setTimeout(() => {
      this.#timer = undefined
      this.#offer()
    }, this.#bucket.waitMs())
  }

  // Asking for space makes whichever is missing, tokens or memory, call again.
  #offer(): void {
    if (this.onSpace !== undefined && this.space() !== undefined) this.onSpace()
  }
}
