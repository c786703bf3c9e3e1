import { XdrError } from './xdr-error.ts'

/**
 * Decodes XDR (RFC 4506) from one message. Every length is checked against its limit and against the bytes that are left before anything is
 * allocated; any violation is an XdrError. Byte strings are copied out, so the buffer may be reused afterwards.
 */
export class XdrReader {
  #bytes: Buffer
  #view: DataView
  #end: number
  /** Index of the next byte in the buffer. */
  position: number

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    this.position = start
    this.#end = end
  }

  /** Points the reader at other bytes: one reader serves a connection for life. */
  reset(bytes: Buffer, start: number, end: number): void {
    if (bytes !== this.#bytes) {
      this.#bytes = bytes
      this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length)
    }
    this.position = start
    this.#end = end
  }

  /** Bytes that are not read yet. */
  get remaining(): number {
    return this.#end - this.position
  }

  /** The unread bytes as a copy. */
  rest(): Buffer {
    const rest = Buffer.from(this.#bytes.subarray(this.position, this.#end))
    this.position = this.#end
    return rest
  }

  /** Refuses bytes that no field accounts for. */
  finish(): void {
    if (this.position !== this.#end) throw new XdrError(`${this.remaining} bytes are left over at the end of a message`)
  }

  int(): number {
    return this.#view.getInt32(this.#take(4))
  }

  uint(): number {
    return this.#view.getUint32(this.#take(4))
  }

  hyper(): bigint {
    return this.#view.getBigInt64(this.#take(8))
  }

  uhyper(): bigint {
    return this.#view.getBigUint64(this.#take(8))
  }

  double(): number {
    return this.#view.getFloat64(this.#take(8))
  }

  /** A C char travels as four bytes; it is signed here, as on x86. */
  char(): number {
    return this.#inRange(this.int(), -128, 255)
  }

  uchar(): number {
    return this.#inRange(this.int(), 0, 255)
  }

  ushort(): number {
    return this.#inRange(this.int(), 0, 65535)
  }

  string(maxBytes: number): string {
    const length = this.#length(maxBytes, 'string')
    const start = this.#take((length + 3) & ~3)
    return this.#bytes.toString('utf8', start, start + length)
  }

  /** Bytes of a fixed length, without a length word. */
  fixed(length: number): Uint8Array {
    const start = this.#take((length + 3) & ~3)
    return Buffer.from(this.#bytes.subarray(start, start + length))
  }

  opaque(maxBytes: number): Uint8Array {
    return this.fixed(this.#length(maxBytes, 'opaque'))
  }

  /** Reads the flag before an optional value. */
  present(): boolean {
    const flag = this.int()
    if (flag !== 0 && flag !== 1) throw new XdrError(`an optional value starts with ${flag}, not 0 or 1`)
    return flag === 1
  }

  array<T>(maxCount: number, read: (reader: XdrReader) => T): T[] {
    const count = this.uint()
    // Every element takes at least four bytes, so a lying count cannot make us allocate.
    if (count > maxCount || count * 4 > this.remaining)
      throw new XdrError(`a list of ${count} elements, at most ${maxCount} may come`)
    return this.times(count, read)
  }

  times<T>(count: number, read: (reader: XdrReader) => T): T[] {
    const list: T[] = []
    for (let i = 0; i < count; i++) list.push(read(this))
    return list
  }

  badUnion(tag: number): never {
    throw new XdrError(`unknown union type ${tag}`)
  }

  #length(max: number, what: string): number {
    const length = this.uint()
    if (length > max || length > this.remaining)
      throw new XdrError(`${what} of ${length} bytes, at most ${max} may come`)
    return length
  }

  #inRange(value: number, min: number, max: number): number {
    if (value < min || value > max) throw new XdrError(`${value} is not between ${min} and ${max}`)
    return value
  }

  #take(bytes: number): number {
    const start = this.position
    if (bytes > this.#end - start) throw new XdrError(`a message ends ${bytes - (this.#end - start)} bytes too early`)
    this.position = start + bytes
    return start
  }
}
