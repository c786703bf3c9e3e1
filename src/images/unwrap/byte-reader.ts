import { fill, pourInto, type ByteMemory, type ByteStream } from '../../platform/byte-stream.ts'

/** Takes a stream of bytes in pieces of known length. A piece of the stream may be void when the next one is asked for; so are then the pieces of `stream` and what `peek` returned. */
export class ByteReader {
  readonly #stream: ByteStream
  readonly #source: AsyncIterator<Buffer>
  #rest: Buffer = Buffer.alloc(0)
  #taken = 0

  constructor(source: ByteStream) {
    this.#stream = source
    this.#source = source[Symbol.asyncIterator]()
  }

  /** Bytes that were taken so far. */
  get position(): number {
    return this.#taken
  }

  /** The next `length` bytes without taking them; fewer at the end of the stream. For small lengths: they are kept in memory. */
  async peek(length: number): Promise<Buffer> {
    if (this.#rest.length < length) await this.#gather(length)
    return this.#rest.subarray(0, length)
  }

  /** A copy of the next `length` bytes; fewer at the end of the stream. */
  async take(length: number): Promise<Buffer> {
    const bytes = Buffer.from(await this.peek(length))
    this.#advance(bytes.length)
    return bytes
  }

  /** The next `length` bytes as they come, all that are left without a length. */
  async *stream(length = Infinity): AsyncGenerator<Buffer> {
    for (let left = length; left > 0;) {
      if (this.#rest.length === 0) {
        const { value, done } = await this.#source.next()
        if (done === true) return
        this.#rest = value
      }
      const part = this.#rest.subarray(0, left)
      left -= part.length
      this.#advance(part.length)
      yield part
    }
  }

  /** Brings all that is left into `memory`. Errors: those of the source, the abort reason. */
  async pour(memory: ByteMemory, signal: AbortSignal): Promise<void> {
    await fill(memory, this.#rest, signal)
    this.#advance(this.#rest.length)
    if (this.#stream.pour !== undefined) return this.#stream.pour(memory, signal)
    const source = this.#source
    return pourInto(memory, { [Symbol.asyncIterator]: () => source }, signal)
  }

  /** Passes over `length` bytes; returns how many there were. */
  async skip(length: number): Promise<number> {
    const begin = this.#taken
    for await (const part of this.stream(length)) void part
    return this.#taken - begin
  }

  /** Tells the source that no more is taken. */
  async close(): Promise<void> {
    await this.#source.return?.()
  }

  async #gather(length: number): Promise<void> {
    const parts = [Buffer.from(this.#rest)]
    let have = this.#rest.length
    while (have < length) {
      const { value, done } = await this.#source.next()
      if (done === true) break
      parts.push(Buffer.from(value))
      have += value.length
    }
    this.#rest = Buffer.concat(parts)
  }

  #advance(length: number): void {
    this.#rest = this.#rest.subarray(length)
    this.#taken += length
  }
}
