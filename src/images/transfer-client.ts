import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { WorkerProcess } from '../platform/workers.ts'
import type { DownloadParams, DownloadSettings } from './download-plan.ts'
import type { TransferEvent } from './image-fetch.ts'
import type { ImageTarget, PreparedTarget } from './image-target.ts'
import { ImageInspector, type ImageFacts } from './inspect.ts'
import type { ImageManifest } from './manifest.ts'
import type { OpenParams, TransferParams } from './transfer-worker.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

const FILE_TIMEOUT_MS = 30_000
const CONNECT_TIMEOUT_MS = 15_000
/** Transfers have stall clocks of their own; a worker that does not even report is stuck. */
const SILENCE_TIMEOUT_MS = 30_000
/** The longest a timer can run, 24 days. */
const NO_TIMEOUT_MS = 2 ** 31 - 1
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

  /** Connects, follows redirects and waits with the body. */
  open(
    jobId: string,
    params: DownloadParams,
    settings: DownloadSettings,
    signal: AbortSignal,
  ): Promise<{ contentLength: number | undefined; finalUrl: string }> {
    const open: OpenParams = {
      jobId,
      url: params.url,
      allowPrivateAddresses: settings.allowPrivateAddresses,
      // What is proven by a checksum may come over any connection.
      allowDowngrade: params.checksum !== undefined,
      connectTimeoutMs: Math.min(CONNECT_TIMEOUT_MS, settings.stallTimeoutMs),
      headersTimeoutMs: settings.stallTimeoutMs,
    }
    const timeoutMs = MAX_HOPS * (settings.stallTimeoutMs + CONNECT_TIMEOUT_MS)
    return this.#worker.call('image.open', open, { signal, timeoutMs })
  }

  /** Receives, hashes and writes the body into the temp file; durable when it resolves. */
  transfer(
    params: TransferParams,
    onEvent: (event: TransferEvent) => void,
    signal: AbortSignal,
  ): Promise<{ bytes: number; digests: Digests }> {
    return this.#watched('image.transfer', params, onEvent, signal)
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

  /** Facts of an image file; `whole` also proves that no cluster is missing. */
  inspect(path: string, depth: 'header' | 'whole', ctx: OpContext): Promise<ImageFacts> {
    const inspector = new ImageInspector(this.#worker)
    return depth === 'whole' ? inspector.inspectWhole(path, ctx) : inspector.inspect(path, ctx)
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

  /** Ends the worker process. */
  close(): void {
    this.#worker.close()
  }

  async #watched<T>(
    method: string,
    params: unknown,
    onEvent: (event: TransferEvent) => void,
    signal: AbortSignal,
  ): Promise<T> {
    const silent = new AbortController()
    const alarm = setTimeout(() => {
      const text = `the transfer worker has not reported for ${SILENCE_TIMEOUT_MS / 1000} s: the pool or the host hangs`
      silent.abort(new AgentError('WORKER_STUCK', text))
    }, SILENCE_TIMEOUT_MS)
    try {
      return await this.#worker.call<T>(method, params, {
        signal: AbortSignal.any([signal, silent.signal]),
        timeoutMs: NO_TIMEOUT_MS,
        onEvent: (event: TransferEvent) => {
          alarm.refresh()
          onEvent(event)
        },
      })
    } finally {
      clearTimeout(alarm)
    }
  }
}
