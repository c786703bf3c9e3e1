import { XdrError } from './xdr-error.ts'

const INITIAL_BYTES = 64 * 1024

/** Encodes XDR (RFC 4506) into a buffer that grows and is kept. A value that does not fit its wire type is an XdrError, never truncated. */
export class XdrWriter {
  #bytes: Buffer
  #view: DataView
  readonly #maxBytes: number
  /** Index of the next byte to be written. */
  position = 0

  constructor(initialBytes = INITIAL_BYTES, maxBytes = Infinity) {
    this.#bytes = Buffer.allocUnsafeSlow(initialBytes)
    this.#view = new DataView(this.#bytes.buffer)
    this.#maxBytes = maxBytes
  }

  /** Size of the buffer as it has grown. */
  get capacity(): number {
    return this.#bytes.length
  }

  /** What was written since `start`, without a copy: valid until the next write after a reset. */
  written(start = 0): Buffer {
    return this.#bytes.subarray(start, this.position)
  }

  /** Puts `value` over an earlier word. */
  patchUint(at: number, value: number): void {
    this.#view.setUint32(at, value)
  }

  int(value: number): void {
    if ((value | 0) !== value) throw new XdrError(`${value} is not a 32 bit integer`)
    this.#view.setInt32(this.#grow(4), value)
  }

  uint(value: number): void {
    if (value >>> 0 !== value) throw new XdrError(`${value} is not an unsigned 32 bit integer`)
    this.#view.setUint32(this.#grow(4), value)
  }

  hyper(value: bigint): void {
    if (typeof value !== 'bigint' || BigInt.asIntN(64, value) !== value)
      throw new XdrError(`${value} is not a 64 bit bigint`)
    this.#view.setBigInt64(this.#grow(8), value)
  }

  uhyper(value: bigint): void {
    if (typeof value !== 'bigint' || BigInt.asUintN(64, value) !== value)
      throw new XdrError(`${value} is not an unsigned 64 bit bigint`)
    this.#view.setBigUint64(this.#grow(8), value)
  }

  double(value: number): void {
    if (typeof value !== 'number') throw new XdrError(`${String(value)} is not a number`)
    this.#view.setFloat64(this.#grow(8), value)
  }

  char(value: number): void {
    this.#small(value, -128, 255)
  }

  uchar(value: number): void {
    this.#small(value, 0, 255)
  }

  ushort(value: number): void {
    this.#small(value, 0, 65535)
  }

  /** Text as UTF-8. A NUL is refused: C would cut the string there and act on another name. */
  string(value: string, maxBytes: number): void {
    if (typeof value !== 'string') throw new XdrError(`expected a string, got ${typeof value}`)
    if (value.includes('\0')) throw new XdrError('a string with a NUL character cannot be sent to libvirt')
    if (value.length > maxBytes)
      throw new XdrError(`a string of ${value.length} characters, libvirt takes at most ${maxBytes} bytes`)
    const start = this.#grow(4 + value.length * 3 + 3)
    const length = this.#bytes.write(value, start + 4, 'utf8')
    if (length > maxBytes) {
      this.position = start
      throw new XdrError(`a string of ${length} bytes, libvirt takes at most ${maxBytes}`)
    }
    this.#view.setUint32(start, length)
    this.position = start + 4 + length
    this.#pad(length)
  }

  /** Exactly `length` bytes, without a length word. */
  fixed(value: Uint8Array, length: number): void {
    if (value?.length !== length) throw new XdrError(`expected ${length} bytes, got ${value?.length}`)
    this.raw(value)
    this.#pad(length)
  }

  opaque(value: Uint8Array, maxBytes: number): void {
    if (!(value instanceof Uint8Array) || value.length > maxBytes)
      throw new XdrError(`expected at most ${maxBytes} bytes, got ${value?.length}`)
    this.uint(value.length)
    this.raw(value)
    this.#pad(value.length)
  }

  /** Bytes as they are: stream payloads have neither length nor padding. */
  raw(value: Uint8Array): void {
    const start = this.#grow(value.length)
    this.#bytes.set(value, start)
  }

  /** Writes the flag before an optional value and says whether the value follows. */
  optional<T>(value: T | null | undefined): value is T {
    const present = value !== null && value !== undefined
    this.#view.setInt32(this.#grow(4), present ? 1 : 0)
    return present
  }

  count(list: readonly unknown[], maxCount: number): void {
    if (!Array.isArray(list) || list.length > maxCount)
      throw new XdrError(`a list of ${list?.length} elements, libvirt takes at most ${maxCount}`)
    this.uint(list.length)
  }

  exactly(list: readonly unknown[], count: number): void {
    if (list?.length !== count) throw new XdrError(`expected ${count} elements, got ${list?.length}`)
  }

  badUnion(value: never): never {
    throw new XdrError(`unknown union type ${String((value as { type?: unknown }).type)}`)
  }

  #small(value: number, min: number, max: number): void {
    if (!(value >= min && value <= max)) throw new XdrError(`${value} is not between ${min} and ${max}`)
    this.int(value)
  }

  #pad(length: number): void {
    const padding = -length & 3
    if (padding > 0) this.#bytes.fill(0, this.#grow(padding), this.position)
  }

  #grow(bytes: number): number {
    const start = this.position
    const end = start + bytes
    if (end > this.#bytes.length) this.#reallocate(end)
    this.position = end
    return start
  }

  #reallocate(needed: number): void {
    if (needed > this.#maxBytes) throw new XdrError(`a message of more than ${this.#maxBytes} bytes cannot be sent`)
    const bytes = Buffer.allocUnsafeSlow(Math.max(needed, this.#bytes.length * 2))
    this.#bytes.copy(bytes, 0, 0, this.position)
    this.#bytes = bytes
    this.#view = new DataView(bytes.buffer)
  }
}
