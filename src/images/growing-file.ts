import type { FileHandle } from 'node:fs/promises'
import { abortable } from '../core/keyed-lock.ts'
import { alignedMemory } from './aligned-memory.ts'

/** Multiple of the blocks of O_DIRECT. */
const READ_BYTES = 512 * 1024
/** Reads under way at once: what was written past the page cache comes from the disk, which is busy with writing. */
const READS = 4

/** How much of a file is written so far, for those who read it behind the writer's back: they never see more than that, and wait for more. */
export class GrowingFile {
  #bytes = 0
  #taken = 0
  #ended = false
  #changed = Promise.withResolvers<void>()

  /** Bytes from the first one on that are in the file. */
  get bytes(): number {
    return this.#bytes
  }

  /** How far `read` has come. */
  get taken(): number {
    return this.#taken
  }

  /** No more will come. */
  get ended(): boolean {
    return this.#ended
  }

  /** Notes that the first `bytes` bytes are in the file: a multiple of 1 MiB, unless the end follows. */
  grown(bytes: number): void {
    this.#bytes = bytes
    this.#wake()
  }

  end(): void {
    this.#ended = true
    this.#wake()
  }

  /** Waits until there are more than `bytes` bytes; false when there never will be. Rejects with the signal's reason. */
  async more(bytes: number, signal: AbortSignal): Promise<boolean> {
    while (this.#bytes <= bytes && !this.#ended) await abortable(this.#changed.promise, signal)
    return this.#bytes > bytes
  }

  /** The bytes through `file`, which may have been opened with O_DIRECT, up to the end; a piece is good until the next one is asked for. Nothing is read any more when the iteration has ended. */
  async *read(file: FileHandle, signal: AbortSignal): AsyncGenerator<Buffer> {
    const memory = Buffer.from(alignedMemory(READS * READ_BYTES))
    const ahead: Promise<Buffer>[] = []
    try {
      let position = 0
      for (let next = 0; ;) {
        for (; ahead.length < READS && next < this.#bytes; next += READ_BYTES) {
          const start = next % memory.length
          const read = this.#readAt(file, memory.subarray(start, start + READ_BYTES), next)
          read.catch(() => undefined)
          ahead.push(read)
        }
        const piece = await ahead.shift()
        if (piece !== undefined) {
          this.#taken = position += piece.length
          yield piece
        } else if (!(await this.more(next, signal))) return
      }
    } finally {
      await Promise.allSettled(ahead)
    }
  }

  async #readAt(file: FileHandle, memory: Buffer, position: number): Promise<Buffer> {
    const there = Math.min(READ_BYTES, this.#bytes - position)
    for (let done = 0; done < there;) {
      const { bytesRead } = await file.read(memory, done, READ_BYTES - done, position + done)
      if (bytesRead === 0) throw Object.assign(new Error('the file is shorter than what was written'), { code: 'EIO' })
      done += bytesRead
    }
    return memory.subarray(0, there)
  }

  #wake(): void {
    this.#changed.resolve()
    this.#changed = Promise.withResolvers()
  }
}
