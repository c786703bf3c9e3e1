import type { FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { firstFailure } from '../core/first-failure.ts'
import { quote } from '../core/ids.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { ByteSink } from '../platform/direct-socket.ts'
import { poolError } from '../storage/worker/errno.ts'
import { alignedMemory } from './aligned-memory.ts'
import { BLOCK_BYTES, openForReading, openForWriting, type DirectFile } from './direct-file.ts'
import { HashFeed } from './hash-feed.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

export interface DurableWriterOptions {
  readonly algorithms: readonly DigestAlgorithm[]
  /** Judges the first bytes (up to 1 MiB) before more is taken; what it throws ends the transfer. */
  readonly onHead: (head: Buffer) => void
  /** Goes on behind the first bytes of a file that is there, a multiple of CHUNK_BYTES; default 0: a new file. */
  readonly from?: number
  /** Told of the bytes, from the first one on, that can be read from the file now; `direct`: they bypassed the page cache. */
  readonly onWritten?: (bytes: number, direct: boolean) => void
  /** Told of the bytes, from the first one on, that survive a power cut now. */
  readonly onDurable?: (bytes: number) => void
}

/** The unit of writing; what is durable before the end is a multiple of it. */
export const CHUNK_BYTES = 1024 * 1024
const CHUNKS = 8
const SYNC_EVERY_BYTES = 4 * 1024 * 1024
/** Bytes that a power cut, or a kill before they are journalled, may cost. */
const MAX_UNSYNCED_BYTES = 12 * 1024 * 1024

/**
 * A file that is hashed and written while it is received, through a ring of 8 chunks of 1 MiB of shared, page-aligned memory: the socket fills one chunk while others are on their way to the
 * disk and to the hash thread. Writes bypass the page cache where the file system can do that, so that a download does not evict the guests' cache; a sync every 4 MiB, beside the writing, bounds
 * what is dirty, and what a kill costs.
 */
export class DurableWriter implements ByteSink {
  onSpace: (() => void) | undefined
  /** Rejects with the first error of the disk, the hash thread or the judge of the head. */
  readonly failure: Promise<never>
  readonly #handle: FileHandle
  readonly #direct: boolean
  readonly #options: DurableWriterOptions
  readonly #memory: Uint8Array
  readonly #hash: HashFeed
  readonly #fail: (error: unknown) => void
  readonly #free: number[] = []
  /** What still needs each chunk: the disk and the hash thread. */
  readonly #users = new Array<number>(CHUNKS).fill(0)
  #current: number | undefined
  #filled = 0
  #submitted: number
  /** Where the chunks begin that are being written. */
  readonly #inFlight = new Set<number>()
  #synced: number
  #syncing: Promise<void> | undefined
  #held: number[] = []
  #spill: Uint8Array[] = []
  #starved = false
  #idle = Promise.withResolvers<void>()

  private constructor(file: DirectFile, kept: FileHandle | undefined, name: string, options: DurableWriterOptions) {
    this.#handle = file.handle
    this.#direct = file.direct
    this.#options = options
    this.#submitted = this.#synced = options.from ?? 0
    const buffer = alignedMemory(CHUNKS * CHUNK_BYTES)
    this.#memory = new Uint8Array(buffer)
    for (let chunk = 1; chunk < CHUNKS; chunk++) this.#free.push(chunk)
    this.#current = 0
    const { failure, fail } = firstFailure()
    this.failure = failure
    this.#fail = (error) => fail(poolError(error, name))
    this.#hash = new HashFeed(
      options.algorithms,
      buffer,
      { done: (chunk) => this.#release(chunk), error: this.#fail },
      kept === undefined ? undefined : { file: kept, bytes: this.#submitted },
    )
    if (this.#submitted > 0) options.onWritten?.(this.#submitted, file.direct)
  }

  /** Creates `file`, which must be new, or goes on with one that is there. Errors: POOL_FULL, POOL_NOT_WRITABLE, POOL_IO_ERROR, FILE_NOT_FOUND. */
  static async open(file: string, options: DurableWriterOptions): Promise<DurableWriter> {
    const from = options.from ?? 0
    const opened = await openForWriting(file, from)
    try {
      const kept = from === 0 ? undefined : await openForReading(file, opened.direct)
      return new DurableWriter(opened, kept, quote(path.basename(file)), options)
    } catch (error) {
      await opened.handle.close()
      throw poolError(error, quote(path.basename(file)))
    }
  }

  /** Bytes that survive a power cut of this host. */
  get bytesDurable(): number {
    return this.#synced
  }

  /** Bytes taken in so far, wherever they are. */
  get bytesAccepted(): number {
    return this.#submitted + this.#filled + this.#spill.reduce((sum, part) => sum + part.length, 0)
  }

  /** True while bytes wait for the disk or the hash thread. */
  get full(): boolean {
    return this.#current === undefined
  }

  space(): Uint8Array | undefined {
    if (this.#current === undefined) {
      this.#starved = true
      return undefined
    }
    const start = this.#current * CHUNK_BYTES
    return this.#memory.subarray(start + this.#filled, start + CHUNK_BYTES)
  }

  advance(bytes: number): void {
    this.#filled += bytes
    if (this.#filled === CHUNK_BYTES) this.#submit()
  }

  write(chunk: Uint8Array): boolean {
    let rest = chunk
    while (rest.length > 0) {
      const space = this.space()
      if (space === undefined || this.#spill.length > 0) {
        this.#spill.push(rest.slice())
        this.#starved = true
        return false
      }
      const part = rest.subarray(0, space.length)
      space.set(part)
      this.advance(part.length)
      rest = rest.subarray(part.length)
    }
    return this.space() !== undefined
  }

  /** Waits until everything is on disk and hashed. The file has exactly the bytes that were received. */
  async finish(signal: AbortSignal): Promise<{ bytes: number; digests: Digests }> {
    return abortable(Promise.race([this.#finish(), this.failure]), signal)
  }

  /** Gives the file handle and the thread back; the file stays. Waits for writes that are under way. */
  async close(): Promise<void> {
    await this.#hash.stop()
    await this.#handle.close()
  }

  async #finish(): Promise<{ bytes: number; digests: Digests }> {
    while (this.#spill.length > 0) await this.#nextIdle()
    if (this.#filled > 0) this.#submit()
    while (this.#users.some((users) => users > 0)) await this.#nextIdle()
    while (this.#syncing !== undefined) await this.#syncing
    // The last block was padded for O_DIRECT.
    await this.#handle.truncate(this.#submitted)
    await this.#handle.sync()
    this.#synced = this.#submitted
    return { bytes: this.#submitted, digests: await this.#hash.digest() }
  }

  #nextIdle(): Promise<void> {
    this.#idle = Promise.withResolvers<void>()
    return this.#idle.promise
  }

  #submit(): void {
    const chunk = this.#current
    if (chunk === undefined) return
    const length = this.#filled
    const start = chunk * CHUNK_BYTES
    const position = this.#submitted
    if (position === 0) {
      try {
        this.#options.onHead(Buffer.from(this.#memory.slice(start, start + length)))
      } catch (error) {
        this.#fail(error)
      }
    }
    this.#submitted += length
    this.#users[chunk] = 1
    if (this.#hash.push({ tag: chunk, offset: start, length }, position + length)) this.#users[chunk] = 2
    this.#inFlight.add(position)
    this.#writeChunk(chunk, start, length, position).catch(this.#fail)
    this.#filled = 0
    this.#current = this.#free.pop()
  }

  async #writeChunk(chunk: number, start: number, length: number, position: number): Promise<void> {
    const padded = this.#direct ? Math.ceil(length / BLOCK_BYTES) * BLOCK_BYTES : length
    this.#memory.fill(0, start + length, start + padded)
    for (let done = 0; done < padded;) {
      const { bytesWritten } = await this.#handle.write(this.#memory, start + done, padded - done, position + done)
      if (bytesWritten === 0) throw Object.assign(new Error('write returned 0'), { code: 'EIO', errno: -5 })
      done += bytesWritten
    }
    this.#inFlight.delete(position)
    const contiguous = this.#contiguous
    this.#hash.written(contiguous)
    this.#options.onWritten?.(contiguous, this.#direct)
    this.#sync()
    this.#release(chunk)
  }

  // Chunks are written side by side: only what has no gap before it counts.
  get #contiguous(): number {
    return this.#inFlight.size === 0 ? this.#submitted : Math.min(...this.#inFlight)
  }

  #sync(): void {
    const upTo = Math.floor(this.#contiguous / CHUNK_BYTES) * CHUNK_BYTES
    if (this.#syncing !== undefined || upTo - this.#synced < SYNC_EVERY_BYTES) return
    this.#syncing = this.#handle.datasync().then(() => {
      this.#synced = upTo
      this.#syncing = undefined
      this.#options.onDurable?.(upTo)
      for (const chunk of this.#held.splice(0)) this.#giveBack(chunk)
      this.#idle.resolve()
      this.#sync()
    })
    this.#syncing.catch(this.#fail)
  }

  #release(chunk: number): void {
    const users = (this.#users[chunk] ?? 1) - 1
    this.#users[chunk] = users
    if (users > 0) return
    if (this.#syncing !== undefined && this.#submitted - this.#synced > MAX_UNSYNCED_BYTES) this.#held.push(chunk)
    else this.#giveBack(chunk)
    this.#idle.resolve()
  }

  #giveBack(chunk: number): void {
    if (this.#current === undefined) this.#current = chunk
    else this.#free.push(chunk)
    const spill = this.#spill.splice(0)
    for (const [index, part] of spill.entries()) {
      if (!this.write(part) && this.#spill.length > 0) {
        this.#spill.push(...spill.slice(index + 1))
        break
      }
    }
    if (this.#starved && this.#current !== undefined && this.#spill.length === 0) {
      this.#starved = false
      this.onSpace?.()
    }
  }
}
