import type { ByteSink } from '../../platform/direct-socket.ts'

/** A piece of the content in memory: filled by one connection at a time, and taken out in order while it is filled. */
export class Segment implements ByteSink {
  onSpace: (() => void) | undefined
  /** Where it begins in the content. */
  readonly start: number
  readonly memory: Uint8Array
  readonly #length: number
  readonly #onBytes: () => void
  readonly #onOverrun: () => void
  #filled = 0
  #taken = 0

  /** `memory` has at least `length` bytes. `onOverrun`: more than these came. */
  constructor(
    place: { readonly start: number; readonly length: number },
    memory: Uint8Array,
    on: { readonly bytes: () => void; readonly overrun: () => void },
  ) {
    this.start = place.start
    this.#length = place.length
    this.memory = memory
    this.#onBytes = on.bytes
    this.#onOverrun = on.overrun
  }

  /** Where the next missing byte and the last one are in the content. */
  get missing(): { readonly from: number; readonly to: number } {
    return { from: this.start + this.#filled, to: this.start + this.#length - 1 }
  }

  get isFull(): boolean {
    return this.#filled === this.#length
  }

  get isTaken(): boolean {
    return this.#taken === this.#length
  }

  /** Bytes in it that were not taken out. */
  get held(): number {
    return this.#filled - this.#taken
  }

  /** Copies what it can into `space`; returns how many bytes. */
  take(space: Uint8Array): number {
    const part = this.memory.subarray(this.#taken, Math.min(this.#filled, this.#taken + space.length))
    space.set(part)
    this.#taken += part.length
    return part.length
  }

  // Empty when it is full: nothing will make space, and whoever waited for some would not see the end of the answer.
  space(): Uint8Array {
    return this.memory.subarray(this.#filled, this.#length)
  }

  advance(bytes: number): void {
    this.#filled += bytes
    this.#onBytes()
  }

  write(chunk: Uint8Array): boolean {
    const fitting = chunk.subarray(0, this.#length - this.#filled)
    this.memory.set(fitting, this.#filled)
    this.advance(fitting.length)
    if (fitting.length < chunk.length) this.#onOverrun()
    return true
  }
}
