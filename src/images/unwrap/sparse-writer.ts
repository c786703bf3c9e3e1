import path from 'node:path'
import type { FileHandle } from 'node:fs/promises'
import { MIB } from '../../core/bytes.ts'
import { firstFailure } from '../../core/first-failure.ts'
import { quote } from '../../core/ids.ts'
import { fillNow, type ByteMemory } from '../../platform/byte-stream.ts'
import { poolError } from '../../storage/worker/errno.ts'
import { alignedMemory } from '../aligned-memory.ts'
import { BLOCK_BYTES, openForWriting } from '../direct-file.ts'
import { HashThread } from '../hash-thread.ts'
import type { DigestAlgorithm, Digests } from '../verify.ts'

const CHUNK_BYTES = MIB
const CHUNKS = 8
/** What is skipped when it is zero: small enough to find the holes of file systems, large enough not to make many writes. */
const HOLE_BYTES = 16 * 1024
const SYNC_EVERY_BYTES = 64 * MIB
const ZEROS = Buffer.alloc(HOLE_BYTES)

/** A new file that is hashed while it is written, zeros left out as holes, through a ring of 8 chunks of 1 MiB past the page cache where the file system can do that; elsewhere a sync every 64 MiB bounds the dirty pages. */
export class SparseWriter implements ByteMemory {
  onSpace: (() => void) | undefined
  /** Rejects with the first error of the disk or the hash thread. */
  readonly failure: Promise<never>
  /** Bytes taken so far, holes included. */
  bytes = 0
  /** Bytes on their way to the disk or there, holes left out. */
  written = 0
  readonly #handle: FileHandle
  readonly #direct: boolean
  readonly #name: string
  readonly #memory: Buffer
  readonly #hash: HashThread
  readonly #free: number[] = []
  /** What still needs each chunk: the disk and the hash thread. */
  readonly #users = new Array<number>(CHUNKS).fill(0)
  readonly #fail: (error: unknown) => void
  #current: number | undefined = 0
  #filled = 0
  #unsynced = 0
  #syncing: Promise<void> | undefined
  #changed = Promise.withResolvers<void>()

  private constructor(handle: FileHandle, direct: boolean, name: string, algorithms: readonly DigestAlgorithm[]) {
    this.#handle = handle
    this.#direct = direct
    this.#name = name
    const memory = alignedMemory(CHUNKS * CHUNK_BYTES)
    this.#memory = Buffer.from(memory)
    for (let chunk = 1; chunk < CHUNKS; chunk++) this.#free.push(chunk)
    const { failure, fail } = firstFailure()
    this.failure = failure
    this.#fail = (error) => fail(poolError(error, name))
    this.#hash = new HashThread(algorithms, memory, (chunk) => this.#release(chunk), this.#fail)
  }

  /** Creates `file`, which must be new. Errors: POOL_FULL, POOL_NOT_WRITABLE, POOL_IO_ERROR. */
  static async create(file: string, algorithms: readonly DigestAlgorithm[]): Promise<SparseWriter> {
    const { handle, direct } = await openForWriting(file, 0)
    return new SparseWriter(handle, direct, quote(path.basename(file)), algorithms)
  }

  /** Takes a copy of the bytes. Errors: those of create. */
  async write(bytes: Buffer): Promise<void> {
    for (let done = fillNow(this, bytes); done < bytes.length; done += fillNow(this, bytes.subarray(done))) {
      await this.#change()
    }
  }

  space(): Uint8Array | undefined {
    if (this.#current === undefined) return undefined
    const start = this.#current * CHUNK_BYTES
    return this.#memory.subarray(start + this.#filled, start + CHUNK_BYTES)
  }

  advance(bytes: number): void {
    this.#filled += bytes
    this.bytes += bytes
    if (this.#filled === CHUNK_BYTES) this.#submit()
  }

  /** Waits until everything is hashed and on disk; the file has exactly the bytes that were written. */
  async finish(): Promise<{ bytes: number; digests: Digests }> {
    if (this.#filled > 0) this.#submit()
    while (this.#users.some((users) => users > 0)) await this.#change()
    try {
      // The last block was padded, and a hole at the end was not written at all.
      await this.#handle.truncate(this.bytes)
      await this.#handle.sync()
    } catch (error) {
      throw poolError(error, this.#name)
    }
    return { bytes: this.bytes, digests: await this.#hash.digest() }
  }

  /** Gives the file handle and the thread back; the file stays. */
  async close(): Promise<void> {
    await this.#hash.stop()
    // A write that is under way would go on after a close.
    await this.#syncing?.catch(() => undefined)
    await this.#handle.close()
  }

  #submit(): void {
    const chunk = this.#current
    if (chunk === undefined) return
    const length = this.#filled
    this.#users[chunk] = 2
    this.#hash.push(chunk, chunk * CHUNK_BYTES, length)
    this.#writeChunk(chunk, length, this.bytes - length).then(() => this.#release(chunk), this.#fail)
    this.#filled = 0
    this.#current = this.#free.pop()
  }

  async #writeChunk(chunk: number, length: number, position: number): Promise<void> {
    const start = chunk * CHUNK_BYTES
    const padded = this.#direct ? Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES : length
    this.#memory.fill(0, start + length, start + padded)
    for (const [from, to] of dataRuns(this.#memory.subarray(start, start + padded))) {
      this.written += to - from
      for (let done = from; done < to;) {
        const { bytesWritten } = await this.#handle.write(this.#memory, start + done, to - done, position + done)
        if (bytesWritten === 0) throw Object.assign(new Error('write returned 0'), { code: 'EIO', errno: -5 })
        done += bytesWritten
      }
      this.#unsynced += to - from
    }
    if (!this.#direct && this.#unsynced >= SYNC_EVERY_BYTES) await this.#sync()
  }

  // Who comes while a sync runs waits for it: that is the bound of the dirty pages.
  async #sync(): Promise<void> {
    this.#unsynced = 0
    this.#syncing ??= this.#handle.datasync().finally(() => (this.#syncing = undefined))
    await this.#syncing
  }

  #release(chunk: number): void {
    const users = (this.#users[chunk] ?? 1) - 1
    this.#users[chunk] = users
    if (users === 0) {
      if (this.#current === undefined) {
        this.#current = chunk
        this.onSpace?.()
      } else {
        this.#free.push(chunk)
      }
    }
    this.#changed.resolve()
  }

  async #change(): Promise<void> {
    this.#changed = Promise.withResolvers()
    await Promise.race([this.#changed.promise, this.failure])
  }
}

// Where `bytes` have anything but zeros, in whole blocks.
function* dataRuns(bytes: Buffer): Generator<[from: number, to: number]> {
  let from = -1
  for (let offset = 0; offset < bytes.length; offset += HOLE_BYTES) {
    const block = bytes.subarray(offset, offset + HOLE_BYTES)
    const hole = block.equals(block.length === HOLE_BYTES ? ZEROS : ZEROS.subarray(0, block.length))
    if (!hole && from < 0) from = offset
    if (hole && from >= 0) {
      yield [from, offset]
      from = -1
    }
  }
  if (from >= 0) yield [from, bytes.length]
}
