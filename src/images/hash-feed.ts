import type { FileHandle } from 'node:fs/promises'
import { alignedMemory } from './aligned-memory.ts'
import { HashThread } from './hash-thread.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

interface Piece {
  readonly tag: number
  readonly offset: number
  readonly length: number
}

const READ_BYTES = 1024 * 1024
/** Read from the file at once, so that an end of the transfer is noticed. */
const STRIDE_BYTES = 64 * 1024 * 1024
/** How close to the writer the reader of the file comes before it takes the pieces from memory. */
const NEAR_BYTES = 8 * 1024 * 1024

/**
 * Hashes a file while it is written, from the memory of the writer. A file that an earlier run began is read from its beginning, while its rest arrives, until the hash has caught up: the
 * state of a hash cannot be kept, and a receiver that waited for it would lose its connection.
 */
export class HashFeed {
  readonly #thread: HashThread
  readonly #kept: { readonly file: FileHandle; readonly buffer: SharedArrayBuffer } | undefined
  #mode: 'file' | 'joining' | 'memory'
  #asked = 0
  #reading = false
  /** Bytes from 0 on that are in the file. */
  #written: number
  /** Where the pieces in memory begin. */
  #joinAt = 0
  #deferred: Piece[] = []

  /** `kept` is the file with what an earlier run left, open for reading, and the bytes in it. */
  constructor(
    algorithms: readonly DigestAlgorithm[],
    memory: ArrayBufferLike,
    on: { readonly done: (tag: number) => void; readonly error: (error: Error) => void },
    kept: { readonly file: FileHandle; readonly bytes: number } | undefined,
  ) {
    this.#thread = new HashThread(algorithms, memory, on.done, on.error)
    this.#mode = kept === undefined ? 'memory' : 'file'
    this.#kept = kept === undefined ? undefined : { file: kept.file, buffer: alignedMemory(READ_BYTES) }
    this.#written = kept?.bytes ?? 0
    this.#read()
  }

  /** Takes the piece that follows all before; false when it will be read from the file, and its memory is not needed. `end` is where it ends in the file. */
  push(piece: Piece, end: number): boolean {
    if (this.#mode === 'file' && !this.#reading && end - piece.length - this.#asked <= NEAR_BYTES) {
      this.#mode = 'joining'
      this.#joinAt = end - piece.length
      this.#join()
    }
    switch (this.#mode) {
      case 'file':
        return false
      case 'joining':
        this.#deferred.push(piece)
        return true
      case 'memory':
        this.#thread.push(piece.tag, piece.offset, piece.length)
        return true
    }
  }

  /** Notes that the file has its first `bytes` bytes. */
  written(bytes: number): void {
    this.#written = bytes
    if (this.#mode === 'file') this.#read()
    else this.#join()
  }

  /** The digests of the file, all of which is written. */
  async digest(): Promise<Digests> {
    if (this.#mode === 'file' && this.#kept !== undefined) this.#readUpTo(this.#written)
    return this.#thread.digest()
  }

  async stop(): Promise<void> {
    await this.#thread.stop()
    await this.#kept?.file.close()
  }

  #read(): void {
    if (this.#mode !== 'file' || this.#reading || this.#asked >= this.#written) return
    this.#reading = true
    this.#readUpTo(Math.min(this.#written, this.#asked + STRIDE_BYTES))
  }

  #readUpTo(end: number): void {
    if (this.#kept === undefined || end <= this.#asked) return
    this.#asked = end
    this.#thread.pushFile(this.#kept.file.fd, end, this.#kept.buffer, () => {
      this.#reading = false
      this.#read()
    })
  }

  // The thread works in the order it is given: what is not read yet comes before the pieces.
  #join(): void {
    if (this.#mode !== 'joining' || this.#written < this.#joinAt) return
    this.#readUpTo(this.#joinAt)
    this.#mode = 'memory'
    for (const { tag, offset, length } of this.#deferred.splice(0)) this.#thread.push(tag, offset, length)
  }
}
