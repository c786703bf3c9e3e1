import { createHash } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { AgentError } from '../core/errors.ts'
import { openDownload, type OpenDownload } from '../platform/http-fetch.ts'
import type { WorkerCall, WorkerHandlers } from '../platform/workers.ts'
import { at } from '../storage/worker/pool-root.ts'
import { transferImage, type TransferEvent, type TransferRequest } from './image-fetch.ts'
import {
  adoptImage,
  discardImage,
  imagePath,
  openTarget,
  prepareTarget,
  publishImage,
  type ImageTarget,
  type PreparedTarget,
} from './image-target.ts'
import { inspectHandlers } from './inspect-handlers.ts'
import type { ImageManifest } from './manifest.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

/** Parameters of `image.open`. */
export interface OpenParams {
  readonly jobId: string
  readonly url: string
  readonly allowPrivateAddresses: boolean
  readonly allowDowngrade: boolean
  readonly connectTimeoutMs: number
  readonly headersTimeoutMs: number
}

/** Parameters of `image.transfer`. */
export interface TransferParams {
  readonly target: ImageTarget
  /** Name of the new file in the target's directory. */
  readonly temp: string
  readonly algorithms: readonly DigestAlgorithm[]
  readonly stallTimeoutMs: number
}

const opened = new Map<string, OpenDownload>()
const running = new Map<string, Promise<unknown>>()

/** The transfer worker: all of a download that touches the network or the pool. */
export const transferHandlers: WorkerHandlers = {
  ...inspectHandlers,
  'image.prepare': ({ target }: { target: ImageTarget }): Promise<PreparedTarget> => prepareTarget(target),
  'image.open': open,
  'image.transfer': transfer,
  'image.hash': hashExisting,
  'image.publish': async (p: { target: ImageTarget; temp: string; manifest: Omit<ImageManifest, 'mtimeMs'> }) =>
    publishImage(p.target, p.temp, p.manifest),
  'image.adopt': async (p: { target: ImageTarget; manifest: ImageManifest }) => adoptImage(p.target, p.manifest),
  'image.discard': discard,
}

async function open(
  params: OpenParams,
  call: WorkerCall,
): Promise<{ contentLength: number | undefined; finalUrl: string }> {
  const { jobId, url, ...policy } = params
  const download = await openDownload(url, { ...policy, signal: call.signal })
  opened.set(jobId, download)
  return { contentLength: download.contentLength, finalUrl: download.finalUrl }
}

async function transfer(params: TransferParams, call: WorkerCall): Promise<{ bytes: number; digests: Digests }> {
  const { target, temp, algorithms, stallTimeoutMs } = params
  const download = opened.get(target.jobId)
  if (download === undefined) throw new AgentError('INTERNAL', `job ${target.jobId} has no open connection`)
  const onEvent = (event: TransferEvent) => call.emit(event)
  const work = transferInto(target, temp, download, { algorithms, stallTimeoutMs, signal: call.signal, onEvent })
  running.set(target.jobId, work)
  try {
    return await work
  } finally {
    running.delete(target.jobId)
    closeDownload(target.jobId)
  }
}

async function transferInto(
  target: ImageTarget,
  temp: string,
  download: OpenDownload,
  request: Omit<TransferRequest, 'file'>,
): Promise<{ bytes: number; digests: Digests }> {
  await using directory = await openTarget(target, 'refuse')
  return await transferImage(download, { ...request, file: at(directory, temp) })
}

// Removing the files while a write is under way would leave what the write makes.
async function discard({ target }: { target: ImageTarget }): Promise<void> {
  closeDownload(target.jobId)
  await Promise.allSettled([running.get(target.jobId)])
  await discardImage(target)
}

async function hashExisting(
  params: { target: ImageTarget; algorithms: readonly DigestAlgorithm[] },
  call: WorkerCall,
): Promise<Digests> {
  const hashes = params.algorithms.map((name) => [name, createHash(name)] as const)
  let done = 0
  const stream = createReadStream(imagePath(params.target), { highWaterMark: 1024 * 1024, signal: call.signal })
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    for (const [, hash] of hashes) hash.update(chunk)
    done += chunk.length
    call.emit({ bytesReceived: done, bytesDurable: done } satisfies TransferEvent)
  }
  return Object.fromEntries(hashes.map(([name, hash]) => [name, hash.digest('hex')]))
}

function closeDownload(jobId: string): void {
  opened.get(jobId)?.close()
  opened.delete(jobId)
}
