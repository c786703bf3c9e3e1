import { rm, type FileHandle } from 'node:fs/promises'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { firstFailure } from '../../core/first-failure.ts'
import { at } from '../../storage/worker/pool-root.ts'
import { openForReading } from '../direct-file.ts'
import { fileSignature, SIGNATURE_BYTES } from '../file-signature.ts'
import { GrowingFile } from '../growing-file.ts'
import type { DigestAlgorithm } from '../verify.ts'
import { isStreamed, peelStream } from './peel.ts'
import { takeOut, UNWRAP_BOUNDS, wrapperTooLarge, type UnwrappedFile } from './unwrap.ts'

export interface EarlyUnwrapOrder {
  /** The file that is received, in the target's directory. */
  readonly from: string
  /** The new file. */
  readonly to: string
  readonly algorithms: readonly DigestAlgorithm[]
}

type Progress = (bytes: { readonly read: number; readonly written: number }) => void

interface Attempt {
  readonly file: GrowingFile
  readonly stop: AbortController
  readonly result: Promise<UnwrappedFile | undefined>
}

/**
 * Takes the image out of a wrapped file while that is still received: it reads behind the receiver, from the file, and so costs no memory however far behind it is. What a wrapper is worth is told at its end, as ever;
 * its faults are kept until then, since a checksum may tell more about the bytes.
 */
export class EarlyUnwrap {
  /** Rejects with what will not get better with more bytes: the disk is full, a tool is missing. */
  readonly failure: Promise<never>
  readonly #directory: FileHandle
  readonly #order: EarlyUnwrapOrder
  readonly #fail: (error: unknown) => void
  #attempt: Attempt | undefined
  #onProgress: Progress = () => undefined

  /** `directory` is that of both files; it is closed by `stop`. */
  constructor(directory: FileHandle, order: EarlyUnwrapOrder) {
    this.#directory = directory
    this.#order = order
    const { failure, fail } = firstFailure()
    this.failure = failure
    this.#fail = fail
  }

  /** The file has its first `bytes` bytes; `direct`: written past the page cache, and so it is read. */
  grown(bytes: number, direct: boolean): void {
    this.#attempt ??= this.#begin(direct)
    this.#attempt.file.grown(bytes)
  }

  /** The file is complete. */
  end(): void {
    this.#attempt?.file.end()
  }

  /** What was received is void, and the file begins at its first byte again. */
  async beginAgain(): Promise<void> {
    await this.#drop()
    await rm(at(this.#directory, this.#order.to), { force: true })
  }

  /** The image, after `end`. Undefined when the file is no wrapper that can be read from its beginning to its end. Errors: those of unwrapFile. */
  async result(onProgress: Progress): Promise<UnwrappedFile | undefined> {
    this.#onProgress = onProgress
    return this.#attempt?.result
  }

  /** Ends it; the files stay. */
  async stop(): Promise<void> {
    await this.#drop()
    await this.#directory.close()
  }

  async #drop(): Promise<void> {
    const attempt = this.#attempt
    this.#attempt = undefined
    attempt?.stop.abort(new AgentError('CANCELLED', 'the unwrapping has ended'))
    await Promise.allSettled([attempt?.result])
  }

  #begin(direct: boolean): Attempt {
    const file = new GrowingFile()
    const stop = new AbortController()
    const result = this.#unwrap(file, direct, stop.signal)
    result.catch((error: unknown) => {
      if (!isOfContent(error) && !stop.signal.aborted) this.#fail(error)
    })
    return { file, stop, result }
  }

  async #unwrap(file: GrowingFile, direct: boolean, signal: AbortSignal): Promise<UnwrappedFile | undefined> {
    const { from, to, algorithms } = this.#order
    if (!(await file.more(0, signal))) return undefined
    await using handle = await openForReading(at(this.#directory, from), direct)
    const head = await firstOf(file.read(handle, signal))
    const signature = fileSignature(head.subarray(0, SIGNATURE_BYTES))
    if (!isStreamed(signature)) return undefined
    return await takeOut(
      (stop) => peelStream(signature, file.read(handle, stop), stop),
      {
        to: at(this.#directory, to),
        algorithms,
        signal,
        onProgress: ({ written }) => this.#onProgress({ read: file.taken, written }),
      },
      (unpacked, stop) => roomFor(unpacked, file, stop),
    )
  }
}

// The other checksum is that of an appliance's manifest.
function isOfContent(error: unknown): boolean {
  return isAgentError(error) && (error.reason.startsWith('WRAPPER_') || error.reason === 'CHECKSUM_MISMATCH')
}

// How large a trap is can be told only from what made it: more of that may come.
function roomFor(unpacked: number, file: GrowingFile, signal: AbortSignal): Promise<void> | undefined {
  const { alwaysAllowedBytes, ratio } = UNWRAP_BOUNDS
  if (unpacked <= alwaysAllowedBytes || unpacked <= file.bytes * ratio) return undefined
  return (async () => {
    while (unpacked > file.bytes * ratio) {
      if (!(await file.more(file.bytes, signal))) throw wrapperTooLarge(file.bytes, unpacked)
    }
  })()
}

async function firstOf(bytes: AsyncIterable<Buffer>): Promise<Buffer> {
  for await (const piece of bytes) return piece
  return Buffer.alloc(0)
}
