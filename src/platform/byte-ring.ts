import { fillNow, type ByteMemory } from './byte-stream.ts'

/**
 * Memory that a socket reads into (`onread` of net.Socket) while somebody takes what was read: a piece is a view of the ring, which is written over when the next one is asked for. With `divert` the socket reads into the memory
 * of somebody else instead.
 */
export class ByteRing implements AsyncIterable<Buffer> {
  /** Set by who reads; called when there is space again after `arrived` has asked to pause. */
  onSpace: (() => void) | undefined
  readonly #memory: Buffer
  readonly #readBytes: number
  /** Bytes that were put in and taken out since the beginning. */
  #put = 0
  #taken = 0
  #isPaused = false
  #ended = false
  #isDropped = false
  #error: Error | undefined
  #changed = Promise.withResolvers<void>()
  #target: ByteMemory | undefined
  #nextTarget: ByteMemory | undefined
  /** The memory that was given last is that of the target. */
  #isDirect = false

  /** `readBytes`: the most that is read into the ring at once, at most half of `bytes`. */
  constructor(bytes: number, readBytes: number) {
    this.#memory = Buffer.allocUnsafeSlow(bytes)
    this.#readBytes = readBytes
  }

  /** Memory for the next bytes, never empty: it is asked for after each read, before anybody knows whether there will be another one. */
  space(): Uint8Array {
    const target = this.#held === 0 ? this.#target?.space() : undefined
    this.#isDirect = target !== undefined
    if (target !== undefined) return target
    const start = this.#put % this.#memory.length
    return this.#memory.subarray(start, start + Math.min(this.#readBytes, this.#memory.length - this.#held))
  }

  /** `count` bytes were put at the start of what `space` returned; false asks to pause until `onSpace` is called. */
  arrived(count: number): boolean {
    if (this.#isDirect) this.#target?.advance(count)
    else this.#put += count
    this.#drain()
    this.#isPaused = !this.#hasSpace
    this.#changed.resolve()
    return !this.#isPaused
  }

  /** Nothing more comes; what is there can still be taken. */
  end(error?: Error): void {
    this.#ended = true
    this.#error ??= error
    this.#changed.resolve()
  }

  /** Nobody takes anything any more. */
  drop(): void {
    this.#isDropped = true
    this.end()
  }

  /** From now on all bytes go into `memory`, those first that are here; the iteration has no more pieces, and ends when everything is there. */
  divert(memory: ByteMemory): void {
    // Not before the piece that somebody may still look at was taken.
    this.#nextTarget = memory
    this.#changed.resolve()
  }

  /** The bytes as they come. Throws what `end` was given. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    while (!this.#isDropped) {
      this.#takeTarget()
      this.#drain()
      this.#goOn()
      if (this.#held > 0 && this.#target === undefined) {
        const piece = this.#piece
        yield piece
        this.#taken += piece.length
      } else if (this.#held === 0 && this.#ended) {
        if (this.#error !== undefined) throw this.#error
        return
      } else {
        this.#changed = Promise.withResolvers()
        await this.#changed.promise
      }
    }
  }

  get #held(): number {
    return this.#put - this.#taken
  }

  // What can be taken at once.
  get #piece(): Buffer {
    const start = this.#taken % this.#memory.length
    return this.#memory.subarray(start, start + Math.min(this.#held, this.#memory.length - start))
  }

  #takeTarget(): void {
    const memory = this.#nextTarget
    if (memory === undefined) return
    this.#nextTarget = undefined
    this.#target = memory
    memory.onSpace = () => {
      this.#drain()
      this.#goOn()
      this.#changed.resolve()
    }
  }

  // The bytes that came before the target did, or while it had no space.
  #drain(): void {
    if (this.#target === undefined) return
    while (this.#held > 0) {
      const count = fillNow(this.#target, this.#piece)
      if (count === 0) return
      this.#taken += count
    }
  }

  #goOn(): void {
    if (!this.#isPaused || !this.#hasSpace) return
    this.#isPaused = false
    this.onSpace?.()
  }

  // After a read of the most into the ring there still is space that is not empty.
  get #hasSpace(): boolean {
    if (this.#target !== undefined) return this.#held === 0 && this.#target.space() !== undefined
    return this.#memory.length - this.#held >= 2 * this.#readBytes
  }
}
