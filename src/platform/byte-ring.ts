/**
 * Memory that a socket reads into (`onread` of net.Socket) while somebody takes what was read: a piece is a view of the ring, which is written over when the next one is asked for.
 */
export class ByteRing implements AsyncIterable<Buffer> {
  /** Set by who reads; called when a ring that was full has space again. */
  onSpace: (() => void) | undefined
  readonly #memory: Buffer
  readonly #readBytes: number
  /** Bytes that were put in and taken out since the beginning. */
  #put = 0
  #taken = 0
  #full = false
  #ended = false
  #error: Error | undefined
  #changed = Promise.withResolvers<void>()

  /** `readBytes`: the most that is read at once, at most half of `bytes`. */
  constructor(bytes: number, readBytes: number) {
    this.#memory = Buffer.allocUnsafeSlow(bytes)
    this.#readBytes = readBytes
  }

  /** Memory for the next bytes, never empty: it is asked for after each read, before anybody knows whether there will be another one. */
  space(): Buffer {
    const start = this.#put % this.#memory.length
    return this.#memory.subarray(
      start,
      start + Math.min(this.#readBytes, this.#memory.length - (this.#put - this.#taken)),
    )
  }

  /** `count` bytes were put at the start of what `space` returned; false asks to pause until `onSpace` is called. */
  arrived(count: number): boolean {
    this.#put += count
    this.#full = !this.#hasSpace
    this.#changed.resolve()
    return !this.#full
  }

  /** Nothing more comes; what is there can still be taken. */
  end(error?: Error): void {
    this.#ended = true
    this.#error ??= error
    this.#changed.resolve()
  }

  /** The bytes as they come. Throws what `end` was given. */
  async *[Symbol.asyncIterator](): AsyncGenerator<Buffer> {
    for (;;) {
      const start = this.#taken % this.#memory.length
      const piece = this.#memory.subarray(start, start + Math.min(this.#put - this.#taken, this.#memory.length - start))
      if (piece.length > 0) {
        yield piece
        this.#taken += piece.length
        if (this.#full && this.#hasSpace) {
          this.#full = false
          this.onSpace?.()
        }
      } else if (this.#ended) {
        if (this.#error !== undefined) throw this.#error
        return
      } else {
        this.#changed = Promise.withResolvers()
        await this.#changed.promise
      }
    }
  }

  // After a read of the most there still is space that is not empty.
  get #hasSpace(): boolean {
    return this.#memory.length - (this.#put - this.#taken) >= 2 * this.#readBytes
  }
}
