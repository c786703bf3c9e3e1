import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { quote } from '../core/ids.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { ByteSink } from '../platform/direct-socket.ts'
import { poolError } from '../storage/worker/errno.ts'
import { HashThread } from './hash-thread.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

export interface DurableWriterOptions {
  readonly algorithms: readonly DigestAlgorithm[]
  /** Judges the first bytes (up to 1 MiB) before more is taken; what it throws ends the transfer. */
  readonly onHead: (head: Buffer) => void
}

const CHUNK_BYTES = 1024 * 1024
const CHUNKS = 8
const WASM_PAGE_BYTES = 64 * 1024
/** Alignment that satisfies O_DIRECT on every usual device. */
const BLOCK_BYTES = 4096
const SYNC_EVERY_BYTES = 64 * 1024 * 1024
const MAX_DIRTY_BYTES = 256 * 1024 * 1024

/**
 * A new file that is hashed and written while it is received, through a ring of 8 chunks of 1 MiB of shared, page-aligned memory: the socket fills one chunk while others are on their way to the
 * disk and to the hash thread. Writes bypass the page cache where the file system can do that, so that a download neither evicts the guests' cache nor piles up dirty pages;
 * elsewhere a sync every 64 MiB bounds them.
 */
export class DurableWriter implements ByteSink {
  onSpace: (() => void) | undefined
  /** Rejects with the first error of the disk, the hash thread or the judge of the head. */
  readonly failure: Promise<never>
  readonly #handle: FileHandle
  readonly #direct: boolean
  readonly #onHead: (head: Buffer) => void
  readonly #memory: Uint8Array
  readonly #hash: HashThread
  readonly #fail: (error: unknown) => void
  readonly #free: number[] = []
  /** What still needs each chunk: the disk and the hash thread. */
  readonly #users = new Array<number>(CHUNKS).fill(0)
  #current: number | undefined
  #filled = 0
  #submitted = 0
  #written = 0
  #synced = 0
  #syncing: Promise<void> | undefined
  #held: number[] = []
  #spill: Uint8Array[] = []
  #starved = false
  #idle = Promise.withResolvers<void>()

  private constructor(handle: FileHandle, direct: boolean, name: string, options: DurableWriterOptions) {
    this.#handle = handle
    this.#direct = direct
    this.#onHead = options.onHead
    const buffer = alignedMemory(CHUNKS * CHUNK_BYTES)
    this.#memory = new Uint8Array(buffer)
    for (let chunk = 1; chunk < CHUNKS; chunk++) this.#free.push(chunk)
    this.#current = 0
    const { promise, reject } = Promise.withResolvers<never>()
    promise.catch(() => undefined)
    this.failure = promise
    this.#fail = (error) => reject(poolError(error, name))
    this.#hash = new HashThread(options.algorithms, buffer, (chunk) => this.#release(chunk), this.#fail)
  }

  /** Creates `file`, which must be new. Errors: POOL_FULL, POOL_NOT_WRITABLE, POOL_IO_ERROR. */
  static async create(file: string, options: DurableWriterOptions): Promise<DurableWriter> {
    const { handle, direct } = await openNew(file)
    return new DurableWriter(handle, direct, quote(path.basename(file)), options)
  }

  /** Bytes that survive a power cut of this host. */
  get bytesDurable(): number {
    return this.#direct ? this.#written : this.#synced
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
    await this.#syncing
    // The last block was padded for O_DIRECT.
    await this.#handle.truncate(this.#submitted)
    await this.#handle.sync()
    this.#synced = this.#written = this.#submitted
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
        this.#onHead(Buffer.from(this.#memory.slice(start, start + length)))
      } catch (error) {
        this.#fail(error)
      }
    }
    this.#submitted += length
    this.#users[chunk] = 2
    this.#hash.push(chunk, start, length)
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
    this.#written += length
    if (!this.#direct && this.#written - this.#synced >= SYNC_EVERY_BYTES) this.#sync()
    this.#release(chunk)
  }

  #sync(): void {
    if (this.#syncing !== undefined) return
    const upTo = this.#written
    this.#syncing = this.#handle.datasync().then(() => {
      this.#synced = upTo
      this.#syncing = undefined
      for (const chunk of this.#held.splice(0)) this.#giveBack(chunk)
    })
    this.#syncing.catch(this.#fail)
  }

  #release(chunk: number): void {
    const users = (this.#users[chunk] ?? 1) - 1
    this.#users[chunk] = users
    if (users > 0) return
    if (!this.#direct && this.#written - this.#synced > MAX_DIRTY_BYTES && this.#syncing !== undefined) {
      this.#held.push(chunk)
    } else {
      this.#giveBack(chunk)
    }
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

async function openNew(file: string): Promise<{ handle: FileHandle; direct: boolean }> {
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW
  try {
    // The mode is set whatever the umask: QEMU runs as another user and only reads.
    const create = async () => {
      const handle = await open(file, flags, 0o644)
      await handle.chmod(0o644)
      return handle
    }
    const plain = await create()
    const direct = await openDirect(file)
    if (direct === undefined) return { handle: plain, direct: false }
    await plain.close()
    return { handle: direct, direct: true }
  } catch (error) {
    throw poolError(error, quote(path.basename(file)))
  }
}

// Some file systems refuse O_DIRECT at open, others only at the first write.
async function openDirect(file: string): Promise<FileHandle | undefined> {
  let handle: FileHandle | undefined
  try {
    handle = await open(file, constants.O_WRONLY | constants.O_DIRECT)
    const block = new Uint8Array(alignedMemory(WASM_PAGE_BYTES), 0, BLOCK_BYTES)
    await handle.write(block, 0, BLOCK_BYTES, 0)
    return handle
  } catch (error) {
    await handle?.close()
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return undefined
    throw error
  }
}

interface WasmMemory {
  readonly Memory: new (options: { initial: number; maximum: number; shared: true }) => { buffer: SharedArrayBuffer }
}

// The memory of a WebAssembly instance is the one page-aligned, shareable buffer that plain Node offers.
function alignedMemory(bytes: number): SharedArrayBuffer {
  const { Memory } = (globalThis as unknown as { WebAssembly: WasmMemory }).WebAssembly
  const pages = bytes / WASM_PAGE_BYTES
  return new Memory({ initial: pages, maximum: pages, shared: true }).buffer
}
