import { LibvirtProtocolError } from './errors.ts'
import { VIR_NET_MESSAGE_HEADER_MAX, VIR_NET_MESSAGE_LEN_MAX, VIR_NET_MESSAGE_MAX } from './wire/constants.gen.ts'

const MIN_LENGTH = VIR_NET_MESSAGE_LEN_MAX + VIR_NET_MESSAGE_HEADER_MAX
const MAX_LENGTH = VIR_NET_MESSAGE_LEN_MAX + VIR_NET_MESSAGE_MAX

/** Called with each whole message, without its length word; the bytes are only valid during the call. */
export type FrameHandler = (bytes: Buffer, start: number, end: number) => void

/**
 * Cuts a byte stream into messages. A message that arrives in one piece is not copied; one that is split is gathered in a buffer of its final
 * size. The length word is checked before anything is allocated; a wrong one is a LibvirtProtocolError.
 */
export class FrameReader {
  readonly #onFrame: FrameHandler
  readonly #lengthWord = Buffer.alloc(VIR_NET_MESSAGE_LEN_MAX)
  #lengthBytes = 0
  #partial: Buffer | undefined
  #filled = 0
  #stopped = false

  constructor(onFrame: FrameHandler) {
    this.#onFrame = onFrame
  }

  /** Delivers nothing more, not even the rest of the chunk at hand. */
  stop(): void {
    this.#stopped = true
    this.#partial = undefined
  }

  /** Takes the first `end` bytes of `chunk`, which may be reused afterwards. */
  push(chunk: Buffer, end: number): void {
    let at = 0
    while (at < end && !this.#stopped) {
      if (this.#partial !== undefined) {
        at += this.#fill(this.#partial, chunk, at, end)
      } else if (this.#lengthBytes > 0 || end - at < VIR_NET_MESSAGE_LEN_MAX) {
        at += this.#fillLength(chunk, at, end)
      } else {
        const length = checkLength(chunk.readUInt32BE(at))
        if (end - at >= length) {
          this.#onFrame(chunk, at + VIR_NET_MESSAGE_LEN_MAX, at + length)
          at += length
        } else {
          this.#begin(length)
          at += VIR_NET_MESSAGE_LEN_MAX
        }
      }
    }
  }

  #begin(length: number): void {
    this.#partial = Buffer.allocUnsafeSlow(length - VIR_NET_MESSAGE_LEN_MAX)
    this.#filled = 0
  }

  #fillLength(chunk: Buffer, at: number, end: number): number {
    const copied = chunk.copy(this.#lengthWord, this.#lengthBytes, at, end)
    this.#lengthBytes += copied
    if (this.#lengthBytes === VIR_NET_MESSAGE_LEN_MAX) {
      this.#lengthBytes = 0
      this.#begin(checkLength(this.#lengthWord.readUInt32BE()))
    }
    return copied
  }

  #fill(partial: Buffer, chunk: Buffer, at: number, end: number): number {
    const copied = chunk.copy(partial, this.#filled, at, end)
    this.#filled += copied
    if (this.#filled === partial.length) {
      this.#partial = undefined
      this.#onFrame(partial, 0, partial.length)
    }
    return copied
  }
}

function checkLength(length: number): number {
  if (length < MIN_LENGTH || length > MAX_LENGTH) {
    throw new LibvirtProtocolError(
      `a message claims to have ${length} bytes; ${MIN_LENGTH} to ${MAX_LENGTH} are allowed`,
    )
  }
  return length
}
