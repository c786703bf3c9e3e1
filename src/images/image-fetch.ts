import { statfs } from 'node:fs/promises'
import path from 'node:path'
import { formatBytes, GIB } from '../core/bytes.ts'
import { AgentError, toAgentError } from '../core/errors.ts'
import type { OpenDownload } from '../platform/http-fetch.ts'
import { DurableWriter } from './durable-writer.ts'
import { describeSignature, fileSignature } from './file-signature.ts'
import { judgeImageHeader } from './image-header.ts'
import { StallClock } from './stall-clock.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

/** What the worker tells while bytes flow, at least twice a second as long as it is alive. */
export interface TransferEvent {
  readonly bytesReceived: number
  readonly bytesDurable: number
}

export interface TransferRequest {
  /** The new file. */
  readonly file: string
  readonly algorithms: readonly DigestAlgorithm[]
  readonly stallTimeoutMs: number
  readonly signal: AbortSignal
  readonly onEvent: (event: TransferEvent) => void
}

const TICK_MS = 250
/** What a body of unknown length leaves free, at most this and this share of the file system. */
const KEPT_FREE_BYTES = GIB
const KEPT_FREE_SHARE = 0.05

/**
 * Takes the body of `download` into the new file: received, hashed and written at the same time, durable when it resolves. The caller removes it on failure. Errors: those
 * of OpenDownload.receive, IMAGE_NOT_AN_IMAGE and IMAGE_REFUSED (from the first MiB), DOWNLOAD_STALLED, POOL_FULL, POOL_NOT_WRITABLE, POOL_IO_ERROR.
 */
export async function transferImage(
  download: OpenDownload,
  request: TransferRequest,
): Promise<{ bytes: number; digests: Digests }> {
  const writer = await DurableWriter.create(request.file, {
    algorithms: request.algorithms,
    onHead: (head) => judgeHead(head, download),
  })
  const stop = new AbortController()
  const signal = AbortSignal.any([request.signal, stop.signal])
  const clock = new StallClock(request.stallTimeoutMs)
  const failed = Promise.withResolvers<never>()
  let receiving = true
  const tick = () => {
    const counters = { bytesReceived: writer.bytesAccepted, bytesDurable: writer.bytesDurable }
    request.onEvent(counters)
    try {
      clock.check(counters, receiving && !writer.full)
    } catch (error) {
      failed.reject(toAgentError(error))
    }
    if (download.contentLength === undefined) keepSpace(request.file).catch(failed.reject)
  }
  const timer = setInterval(tick, TICK_MS)
  try {
    return await Promise.race([work(), failed.promise, writer.failure])
  } finally {
    clearInterval(timer)
    stop.abort(new AgentError('CANCELLED', 'the transfer has ended'))
    await writer.close()
  }

  async function work(): Promise<{ bytes: number; digests: Digests }> {
    await download.receive(writer, signal)
    receiving = false
    const result = await writer.finish(signal)
    tick()
    return result
  }
}

// No space is reserved for such a body: it must not take the last bytes, which guests on the pool need to go on.
async function keepSpace(file: string): Promise<void> {
  const { bavail, blocks, bsize } = await statfs(path.dirname(file))
  const free = bavail * bsize
  if (free >= Math.min(KEPT_FREE_BYTES, blocks * bsize * KEPT_FREE_SHARE)) return
  throw new AgentError(
    'POOL_FULL',
    `only ${formatBytes(free)} are left, and the server does not say how much is still to come; free or add space`,
  )
}

function judgeHead(head: Buffer, { contentLength, finalUrl }: OpenDownload): void {
  if (contentLength !== undefined) {
    judgeImageHeader(head, contentLength, finalUrl)
    return
  }
  const signature = fileSignature(head)
  if (signature === 'qcow2' || signature === 'raw-disk') return
  throw new AgentError('IMAGE_NOT_AN_IMAGE', `${finalUrl} is no disk image: it is ${describeSignature(signature)}`)
}
