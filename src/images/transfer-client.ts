import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { WorkerProcess } from '../platform/workers.ts'
import type { FileSystemSpace } from '../storage/worker/file-system-space.ts'
import type { CreatedFile, SealParams } from './convert/convert-handlers.ts'
import type { CopyParams, SourceLook } from './copy-in.ts'
import { CONNECT_TIMEOUT_MS, type FetchRules } from './fetch-rules.ts'
import type { TransferEvent } from './image-fetch.ts'
import type { ImageTarget, PreparedTarget } from './image-target.ts'
import { ImageInspector, type ImageFacts, type JudgedImage } from './inspect.ts'
import type { InheritParams } from './lease/inherit.ts'
import type { ImageLease } from './lease/lease-file.ts'
import type { LeaseParams } from './lease/lease-handlers.ts'
import type { ImageManifest } from './manifest.ts'
import type { ResolveProofParams } from './proof/proof-handlers.ts'
import type { ProofRequest } from './proof/proof-request.ts'
import type { ResolvedProof } from './proof/resolve.ts'
import type { SessionEvent, TransferEnd, TransferOrder, TransferStart } from './transfer-session.ts'
import type { UploadPiece } from './upload/upload-handlers.ts'
import type { UnwrappedFile } from './unwrap/unwrap.ts'
import type { UnwrapParams } from './unwrap/unwrap-handlers.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

const FILE_TIMEOUT_MS = 30_000
/** Transfers have stall clocks of their own; a worker that does not even report is stuck. */
const SILENCE_TIMEOUT_MS = 30_000
/** The longest a timer can run, 24 days. */
const NO_TIMEOUT_MS = 2 ** 31 - 1
/** A sums file and up to five places of its signature, each small. */
const PROOF_TIMEOUT_MS = 5 * 60_000
const MAX_HOPS = 11

/** The main process's side of one transfer worker. Errors are those of the worker's functions, and WORKER_DIED, WORKER_STUCK, DEADLINE_EXCEEDED. */
export class TransferClient {
  readonly #worker: WorkerProcess

  constructor(worker: WorkerProcess) {
    this.#worker = worker
  }

  /** Makes the directory, sweeps leftovers of the job, looks at the image's place. */
  prepare(target: ImageTarget, signal: AbortSignal): Promise<PreparedTarget> {
    return this.#worker.call('image.prepare', { target }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** The space of the file system that the target's directory is on. */
  space(target: ImageTarget, signal: AbortSignal): Promise<FileSystemSpace> {
    return this.#worker.call('image.space', { target }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** The digests a proof stands for: fetches sums, checks their signature. Errors: those of resolveProof. */
  resolveProof(
    request: ProofRequest,
    keyringsDir: string,
    rules: FetchRules,
    signal: AbortSignal,
  ): Promise<ResolvedProof> {
    const params: ResolveProofParams = { request, keyringsDir, ...rules }
    return this.#worker.call('image.proof', params, { signal, timeoutMs: PROOF_TIMEOUT_MS, onTimeout: 'cancel' })
  }

  /** Looks at what an earlier run left, connects for the rest, follows redirects, tries again, and waits with the body. */
  open(order: TransferOrder, onEvent: (event: SessionEvent) => void, signal: AbortSignal): Promise<TransferStart> {
    const { stallTimeoutMs, patienceMs, urls } = order
    const timeoutMs = FILE_TIMEOUT_MS + patienceMs + urls.length * MAX_HOPS * (stallTimeoutMs + CONNECT_TIMEOUT_MS)
    return this.#worker.call('image.open', order, { signal, timeoutMs, onEvent })
  }

  /** Receives, hashes and writes what is missing; durable when it resolves. After `open`. */
  transfer(jobId: string, onEvent: (event: SessionEvent) => void, signal: AbortSignal): Promise<TransferEnd> {
    return this.#watched('image.transfer', { jobId }, onEvent, signal)
  }

  /** Sets the rate that the job may receive at; 0 = no limit. */
  async pace(jobId: string, bytesPerSecond: number, signal: AbortSignal): Promise<void> {
    await this.#worker.call('image.pace', { jobId, bytesPerSecond }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Digests of the file in the image's place. */
  hash(
    target: ImageTarget,
    algorithms: readonly DigestAlgorithm[],
    onEvent: (event: TransferEvent) => void,
    signal: AbortSignal,
  ): Promise<Digests> {
    return this.#watched('image.hash', { target, algorithms }, onEvent, signal)
  }

  /** The verdict on an image file of any known format, all of its tables included. */
  judge(path: string, ctx: OpContext): Promise<JudgedImage> {
    return new ImageInspector(this.#worker).judge(path, 'whole', ctx)
  }

  /** Facts of an image file that a VM can use as it is, all of its tables included. */
  inspect(path: string, ctx: OpContext): Promise<ImageFacts> {
    return new ImageInspector(this.#worker).inspectWhole(path, ctx)
  }

  /** Takes the disk image out of a wrapped file; undefined when it is not wrapped. */
  unwrap(
    params: UnwrapParams,
    onEvent: (event: TransferEvent) => void,
    signal: AbortSignal,
  ): Promise<UnwrappedFile | undefined> {
    return this.#watched('image.unwrap', params, onEvent, signal)
  }

  /** Looks at a local file that an image is to be made of. */
  look(source: ImageTarget, signal: AbortSignal): Promise<SourceLook> {
    return this.#worker.call('image.source', { source }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Copies a local file into a new file of the target's directory, durably. */
  copy(
    params: CopyParams,
    onEvent: (event: TransferEvent) => void,
    signal: AbortSignal,
  ): Promise<{ bytes: number; digests: Digests }> {
    return this.#watched('image.copy', params, onEvent, signal)
  }

  /** Holds an image against its manifest, byte by byte. */
  verify(
    image: ImageTarget,
    onEvent: (event: TransferEvent) => void,
    signal: AbortSignal,
  ): Promise<{ sizeBytes: number; digests: Digests }> {
    return this.#watched('image.verify', { image }, onEvent, signal)
  }

  /** Opens the file of an upload with its first `offset` bytes. */
  openUpload(target: ImageTarget, offset: number, signal: AbortSignal): Promise<{ freeBytes: number }> {
    return this.#worker.call('upload.open', { target, offset }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Writes a piece of an upload. */
  async writeUpload(piece: UploadPiece, signal: AbortSignal): Promise<void> {
    await this.#worker.call('upload.write', piece, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Makes the pieces durable. */
  async syncUpload(target: ImageTarget, signal: AbortSignal): Promise<void> {
    await this.#worker.call('upload.sync', { target }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Makes an empty file for a conversion. */
  create(target: ImageTarget, temp: string, signal: AbortSignal): Promise<CreatedFile> {
    return this.#worker.call('image.create', { target, temp }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Makes what another program wrote durable, and its digests. */
  seal(
    params: SealParams,
    onEvent: (event: TransferEvent) => void,
    signal: AbortSignal,
  ): Promise<{ bytes: number; digests: Digests }> {
    return this.#watched('image.seal', params, onEvent, signal)
  }

  /** Succeeds when the target's directory is still the pool's; else the errors of openTarget. */
  async confirm(target: ImageTarget, signal: AbortSignal): Promise<void> {
    await this.#worker.call('image.confirm', { target }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Gives the temp file its name. */
  async publish(
    target: ImageTarget,
    temp: string,
    manifest: Omit<ImageManifest, 'mtimeMs'>,
    signal: AbortSignal,
  ): Promise<void> {
    await this.#worker.call('image.publish', { target, temp, manifest }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Records a verified file that was in its place before. */
  async adopt(target: ImageTarget, manifest: ImageManifest, signal: AbortSignal): Promise<void> {
    await this.#worker.call('image.adopt', { target, manifest }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Waits for the end of what runs and removes every file of the job that is not an image. */
  async discard(target: ImageTarget, signal: AbortSignal): Promise<void> {
    await this.#worker.call('image.discard', { target }, { signal, timeoutMs: FILE_TIMEOUT_MS })
  }

  /** Looks at, takes, keeps or gives back the lease on the target; what each answers is in lease-handlers.ts. */
  lease(method: 'lease.read', params: LeaseParams, signal: AbortSignal): Promise<ImageLease | undefined>
  lease(method: 'lease.take' | 'lease.beat', params: LeaseParams, signal: AbortSignal): Promise<boolean>
  lease(method: 'lease.release', params: LeaseParams, signal: AbortSignal): Promise<void>
  lease(method: string, params: LeaseParams, signal: AbortSignal): Promise<unknown> {
    // One that is late must not end the transfer that runs beside it.
    return this.#worker.call(method, params, { signal, timeoutMs: FILE_TIMEOUT_MS, onTimeout: 'cancel' })
  }

  /** Takes over what the job of a dead host has received; the bytes of that. */
  inherit(params: InheritParams, onEvent: (event: TransferEvent) => void, signal: AbortSignal): Promise<number> {
    return this.#watched('lease.inherit', params, onEvent, signal)
  }

  /** Starts the worker process ahead of its first use. */
  warm(): void {
    this.#worker.warm()
  }

  /** Ends the worker process. */
  close(): void {
    this.#worker.close()
  }

  async #watched<T, E>(method: string, params: unknown, onEvent: (event: E) => void, signal: AbortSignal): Promise<T> {
    const silent = new AbortController()
    let reports = 0
    const alarm = setTimeout(() => {
      const before = reports
      // When this process stood still, there may be reports that it has not read: it does so first.
      setImmediate(() => {
        if (reports > before) return
        const text = `the transfer worker has not reported for ${SILENCE_TIMEOUT_MS / 1000} s: the pool or the host hangs`
        silent.abort(new AgentError('WORKER_STUCK', text))
      })
    }, SILENCE_TIMEOUT_MS)
    try {
      return await this.#worker.call<T>(method, params, {
        signal: AbortSignal.any([signal, silent.signal]),
        timeoutMs: NO_TIMEOUT_MS,
        onEvent: (event: E) => {
          reports++
          alarm.refresh()
          onEvent(event)
        },
      })
    } finally {
      clearTimeout(alarm)
    }
  }
}
