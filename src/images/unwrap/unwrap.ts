import { readFileSync } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { formatBytes, GIB } from '../../core/bytes.ts'
import { AgentError } from '../../core/errors.ts'
import { firstFailure } from '../../core/first-failure.ts'
import { pourInto, type ByteMemory, type ByteStream } from '../../platform/byte-stream.ts'
import { SIGNATURE_BYTES, type FileSignature } from '../file-signature.ts'
import { keepSpace } from '../keep-space.ts'
import type { DigestAlgorithm, Digests } from '../verify.ts'
import { isWrapper, peel, type PeeledImage } from './peel.ts'
import { SparseWriter } from './sparse-writer.ts'

/** What was inside a wrapped file. */
export interface UnwrappedFile {
  /** What was taken off, outermost first. */
  readonly layers: readonly FileSignature[]
  readonly bytes: number
  readonly digests: Digests
}

export interface TakeOutRequest {
  /** The new file. */
  readonly to: string
  readonly algorithms: readonly DigestAlgorithm[]
  readonly signal: AbortSignal
  /** At least twice a second: how much was taken out, with holes and without. */
  readonly onProgress: (bytes: { readonly taken: number; readonly written: number }) => void
}

export interface UnwrapRequest extends Omit<TakeOutRequest, 'onProgress'> {
  readonly from: string
  /** At least twice a second: how much of `from` was read, and how much of `to` written, without holes. */
  readonly onProgress: (bytes: { readonly read: number; readonly written: number }) => void
}

const TICK_MS = 250
/** A disk image is never larger than both: the first for small ones with much empty space, the second times the size of the wrapped file. */
export const UNWRAP_BOUNDS = { alwaysAllowedBytes: 16 * GIB, ratio: 10_000 } as const

/**
 * Takes the disk image in the wrapped file `from` into the new file `to`: durable when it resolves, holes for zeros. Undefined when `from` is not wrapped. The caller removes `to` on failure. Errors:
 * those of `peel`, WRAPPER_TOO_LARGE, POOL_FULL, POOL_NOT_WRITABLE, POOL_IO_ERROR.
 */
export async function unwrapFile(
  request: UnwrapRequest,
  bounds: { readonly alwaysAllowedBytes: number; readonly ratio: number } = UNWRAP_BOUNDS,
): Promise<UnwrappedFile | undefined> {
  await using source = await open(request.from, 'r')
  if (!isWrapper(await headOf(source))) return undefined
  const { size } = await source.stat()
  const maxBytes = Math.max(bounds.alwaysAllowedBytes, size * bounds.ratio)
  const onProgress = ({ taken, written }: { readonly taken: number; readonly written: number }) =>
    request.onProgress({ read: Math.min(size, readBytes(source) || taken), written })
  return await takeOut(
    (signal) => peel(source, signal),
    { ...request, onProgress },
    (unpacked) => {
      if (unpacked > maxBytes) throw wrapperTooLarge(size, unpacked)
      return undefined
    },
  )
}

/** Writes what `source` yields into a new file, as unwrapFile does. `room` is asked as bytes come, and makes them wait with what it returns. Errors: those of `source` and `room`, POOL_FULL, POOL_NOT_WRITABLE, POOL_IO_ERROR. */
export async function takeOut(
  source: (signal: AbortSignal) => Promise<PeeledImage>,
  request: TakeOutRequest,
  room: (unpacked: number, signal: AbortSignal) => Promise<void> | undefined,
): Promise<UnwrappedFile> {
  const writer = await SparseWriter.create(request.to, request.algorithms)
  const stop = new AbortController()
  const signal = AbortSignal.any([request.signal, stop.signal])
  const report = () => request.onProgress({ taken: writer.bytes, written: writer.written })
  const tick = () => {
    report()
    keepSpace(path.dirname(request.to), 'nothing tells how much is still inside').catch((error) => stop.abort(error))
  }
  const timer = setInterval(tick, TICK_MS)
  try {
    const { layers, bytes } = await source(signal)
    await takeAll(bytes, new RoomyMemory(writer, (unpacked) => room(unpacked, signal)), stop, signal)
    const result = await writer.finish()
    report()
    return { layers, ...result }
  } finally {
    clearInterval(timer)
    await writer.close()
  }
}

// Nothing is taken any more when it resolves or rejects.
async function takeAll(
  bytes: ByteStream,
  memory: RoomyMemory,
  stop: AbortController,
  signal: AbortSignal,
): Promise<void> {
  const taking = pourInto(memory, bytes, signal)
  try {
    await Promise.race([taking.then(() => memory.granted), memory.failure])
  } catch (error) {
    stop.abort(error)
    await Promise.allSettled([taking])
    throw error
  }
}

/** The memory of a writer, which has no space while `room` makes it wait. */
class RoomyMemory implements ByteMemory {
  onSpace: (() => void) | undefined
  /** Rejects with the first error of the writer, or of `room`. */
  readonly failure: Promise<never>
  readonly #writer: SparseWriter
  readonly #room: (unpacked: number) => Promise<void> | undefined
  readonly #fail: (error: unknown) => void
  #granted = Promise.resolve()
  #waits = false

  constructor(writer: SparseWriter, room: (unpacked: number) => Promise<void> | undefined) {
    this.#writer = writer
    this.#room = room
    const { failure, fail } = firstFailure()
    this.failure = failure
    this.#fail = fail
    writer.failure.catch(fail)
    writer.onSpace = () => this.#tell()
  }

  /** Resolves when `room` has agreed to everything that came. */
  get granted(): Promise<void> {
    return this.#granted
  }

  space(): Uint8Array | undefined {
    return this.#waits ? undefined : this.#writer.space()
  }

  advance(bytes: number): void {
    this.#writer.advance(bytes)
    try {
      const wait = this.#room(this.#writer.bytes)
      if (wait === undefined) return
      this.#granted = this.#waitFor(wait)
      this.#granted.catch(this.#fail)
    } catch (error) {
      this.#fail(error)
    }
  }

  async #waitFor(room: Promise<void>): Promise<void> {
    this.#waits = true
    await room
    this.#waits = false
    this.#tell()
  }

  #tell(): void {
    if (this.space() !== undefined) this.onSpace?.()
  }
}

/** The error for what unpacks to more than any image. */
export function wrapperTooLarge(size: number, bytes: number): AgentError {
  return new AgentError(
    'WRAPPER_TOO_LARGE',
    `${formatBytes(size)} unpack to more than ${formatBytes(bytes)}: that is no disk image but a trap`,
  )
}

// A decompressor shares the open file, and with it the position; archives are read elsewhere, and their content is about as long as they are.
function readBytes(file: FileHandle): number {
  return Number(/^pos:\s*(\d+)/m.exec(readFileSync(`/proc/self/fdinfo/${file.fd}`, 'utf8'))?.[1] ?? 0)
}

async function headOf(file: FileHandle): Promise<Buffer> {
  const head = Buffer.alloc(SIGNATURE_BYTES)
  const { bytesRead } = await file.read(head, 0, head.length, 0)
  return head.subarray(0, bytesRead)
}
