import { randomBytes } from 'node:crypto'
import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { formatBytes } from '../core/bytes.ts'
import type { DiskFormat } from '../core/model.ts'
import type { OperationContext, OperationHandler } from '../operations/operation.ts'
import { delay, monotonicMs } from '../platform/clock.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { PoolGuard } from '../storage/pool-guard.ts'
import { currentGuard, type DownloadParams, type DownloadSettings } from './download-plan.ts'
import type { TransferEvent } from './image-fetch.ts'
import { imagePath, tempName, type ExistingImage, type ImageTarget } from './image-target.ts'
import type { ImageFacts } from './inspect.ts'
import { answersRequest, type ImageManifest } from './manifest.ts'
import { RateMeter } from './rate-meter.ts'
import type { TransferClient } from './transfer-client.ts'
import { TransferSlots } from './transfer-slots.ts'
import { checkDigest, digestAlgorithms, type Digests } from './verify.ts'

/** The operation kind of image downloads. */
export const IMAGE_DOWNLOAD = 'image.download'

/** What a finished download left in the target's place. `reused`: it was there before. */
export interface DownloadResult {
  readonly sizeBytes: number
  readonly format: DiskFormat
  readonly virtualSizeBytes: number
  readonly digests: Digests
  readonly reused: boolean
}

/** Only tells that an earlier run began; what it left is found by its names. */
export interface DownloadJournal {
  readonly begun: true
}

export interface DownloadDeps {
  readonly pools: PoolAccess
  readonly settings: DownloadSettings
  /** Version of the agent, for manifests. */
  readonly agentVersion: string
  /** A new transfer worker; the job closes it at its end. */
  readonly openClient: (jobId: string) => TransferClient
}

/** How long a job that a restart interrupted waits for its pool to come back. */
const POOL_WAIT_MS = 5 * 60_000
const POOL_RETRY_MS = 2_000
const DISCARD_TIMEOUT_MS = 30_000

/** Image downloads as an operation: one worker process per job, nothing visible before it is complete, durable, verified and inspected. */
export class ImageDownloads implements OperationHandler<DownloadParams, DownloadResult, DownloadJournal> {
  readonly kind = IMAGE_DOWNLOAD
  readonly onRestart = 'resume'
  readonly onShutdown = 'interrupt'
  readonly #deps: DownloadDeps
  readonly #slots: TransferSlots
  readonly #rates = new Map<string, RateMeter>()

  constructor(deps: DownloadDeps) {
    this.#deps = deps
    this.#slots = new TransferSlots(deps.settings.maxConcurrent)
  }

  /** Present rate of a running job; 0 when unknown. */
  bytesPerSecond(jobId: string): number {
    return this.#rates.get(jobId)?.bytesPerSecond() ?? 0
  }

  async run(params: DownloadParams, ctx: OperationContext<DownloadJournal>): Promise<DownloadResult> {
    const release = await this.#slots.acquire(ctx.signal)
    const client = this.#deps.openClient(ctx.id)
    this.#rates.set(ctx.id, new RateMeter())
    try {
      const guard = await this.#waitForPool(params, ctx)
      await ctx.save({ begun: true })
      return await this.#download(params, targetOf(params, ctx.id, guard), client, ctx)
    } finally {
      this.#rates.delete(ctx.id)
      client.close()
      release()
    }
  }

  async #download(
    params: DownloadParams,
    target: ImageTarget,
    client: TransferClient,
    ctx: OperationContext<DownloadJournal>,
  ): Promise<DownloadResult> {
    const prepared = await client.prepare(target, ctx.signal)
    if (prepared.existing !== undefined) return this.#reuse(params, target, prepared.existing, client, ctx)
    const temp = tempName(target, randomBytes(6).toString('hex'))
    try {
      const head = await client.open(target.jobId, params, this.#deps.settings, ctx.signal)
      const reservation = await this.#reserve(params, head.contentLength, prepared.freeBytes, ctx)
      try {
        const received = await this.#transfer(params, target, temp, head.contentLength, client, ctx)
        ctx.progress({ phase: 'verifying', bytesDone: received.bytes, bytesTotal: received.bytes })
        checkDigest(received.digests, params.checksum, params.url)
        const facts = await client.inspect(`${target.directory}/${temp}`, 'whole', ctx)
        ctx.progress({ phase: 'publishing', bytesDone: received.bytes, bytesTotal: received.bytes })
        const manifest = this.#manifest(params, target.jobId, facts, received.digests, head.finalUrl)
        await client.publish(target, temp, manifest, ctx.signal)
        return { ...pick(facts), digests: received.digests, reused: false }
      } finally {
        reservation.release()
      }
    } catch (error) {
      // The cause is what the caller needs; leftovers that cannot be removed now are swept when the job or the pool comes back.
      await client.discard(target, AbortSignal.timeout(DISCARD_TIMEOUT_MS)).catch((failure: unknown) => {
        ctx.log.warn({ err: errorText(failure), path: imagePath(target) }, 'leftovers of a download remain')
      })
      throw error
    }
  }

  async #transfer(
    params: DownloadParams,
    target: ImageTarget,
    temp: string,
    contentLength: number | undefined,
    client: TransferClient,
    ctx: OperationContext<DownloadJournal>,
  ): Promise<{ bytes: number; digests: Digests }> {
    const onEvent = ({ bytesReceived }: TransferEvent) => {
      this.#rates.get(ctx.id)?.update(bytesReceived)
      ctx.progress({
        phase: 'downloading',
        bytesDone: bytesReceived,
        ...(contentLength === undefined ? {} : { bytesTotal: contentLength }),
      })
    }
    onEvent({ bytesReceived: 0, bytesDurable: 0 })
    const { stallTimeoutMs } = this.#deps.settings
    const algorithms = digestAlgorithms(params.checksum)
    return client.transfer({ target, temp, algorithms, stallTimeoutMs }, onEvent, ctx.signal)
  }

  // A file in the image's place: ours and what is asked for, or proven to be it, or a conflict. It is never replaced.
  async #reuse(
    params: DownloadParams,
    target: ImageTarget,
    existing: ExistingImage,
    client: TransferClient,
    ctx: OperationContext<DownloadJournal>,
  ): Promise<DownloadResult> {
    const { manifest } = existing
    const answer = manifest === undefined ? 'unknown' : answersRequest(manifest, params.url, params.checksum)
    if (manifest !== undefined && answer === 'yes')
      return { ...pick(manifest), digests: manifest.digests, reused: true }
    if (answer === 'no') throw conflict(target, 'it was made from another URL or has another checksum')
    const facts = await client.inspect(imagePath(target), 'whole', ctx).catch((error: unknown) => {
      if (!isAgentError(error, 'IMAGE_REFUSED', 'IMAGE_NOT_AN_IMAGE')) throw error
      throw conflict(target, `it is no usable image (${error.message})`)
    })
    const { checksum } = params
    if (checksum === undefined) return { ...pick(facts), digests: {}, reused: true }
    const onEvent = ({ bytesReceived }: TransferEvent) =>
      ctx.progress({ phase: 'verifying', bytesDone: bytesReceived, bytesTotal: existing.sizeBytes })
    onEvent({ bytesReceived: 0, bytesDurable: 0 })
    const digests = await client.hash(target, digestAlgorithms(checksum), onEvent, ctx.signal)
    if (digests[checksum.algorithm] !== checksum.hex) throw conflict(target, `its ${checksum.algorithm} is another one`)
    const record = this.#manifest(params, target.jobId, facts, digests, '')
    await client.adopt(target, { ...record, mtimeMs: existing.mtimeMs }, ctx.signal)
    return { ...pick(facts), digests, reused: true }
  }

  async #reserve(
    params: DownloadParams,
    bytes: number | undefined,
    freeBytes: number,
    ctx: OpContext,
  ): Promise<{ release(): void }> {
    if (bytes === undefined) return { release() {} }
    if (params.poolId !== '') {
      return this.#deps.pools.reserve(params.poolId, bytes, ctx, `download of ${params.fileName}`)
    }
    if (bytes <= freeBytes) return { release() {} }
    throw new AgentError(
      'POOL_FULL',
      `${params.directory}: ${params.fileName} needs ${formatBytes(bytes)}, ${formatBytes(freeBytes)} are free; free or add space`,
    )
  }

  async #waitForPool(params: DownloadParams, ctx: OperationContext<DownloadJournal>): Promise<PoolGuard | undefined> {
    const giveUpAt = monotonicMs() + (ctx.journal === undefined ? 0 : POOL_WAIT_MS)
    for (;;) {
      try {
        return await currentGuard(params, this.#deps.pools, ctx)
      } catch (error) {
        // After a reboot the agent may be up before the pool's server is.
        const later = isAgentError(error, 'POOL_UNAVAILABLE', 'POOL_NOT_FOUND', 'POOL_PATH_MISSING')
        if (!later || monotonicMs() >= giveUpAt) throw error
      }
      await delay(POOL_RETRY_MS, ctx.signal)
    }
  }

  #manifest(
    params: DownloadParams,
    jobId: string,
    facts: ImageFacts,
    digests: Digests,
    finalUrl: string,
  ): Omit<ImageManifest, 'mtimeMs'> {
    return {
      version: 1,
      jobId,
      url: params.url,
      finalUrl,
      digests,
      checksumGiven: params.checksum !== undefined,
      format: facts.format,
      virtualSizeBytes: facts.virtualSizeBytes,
      sizeBytes: facts.fileSizeBytes,
      tools: { 'limiquantix-node': this.#deps.agentVersion, node: process.version },
      createdAt: new Date().toISOString(),
    }
  }
}

function targetOf(params: DownloadParams, jobId: string, guard: PoolGuard | undefined): ImageTarget {
  const { directory, fileName } = params
  return { jobId, base: guard?.root ?? params.base, ...(guard === undefined ? {} : { guard }), directory, fileName }
}

function pick(of: ImageFacts | ImageManifest): Pick<DownloadResult, 'format' | 'virtualSizeBytes' | 'sizeBytes'> {
  const sizeBytes = 'fileSizeBytes' in of ? of.fileSizeBytes : of.sizeBytes
  return { format: of.format, virtualSizeBytes: of.virtualSizeBytes, sizeBytes }
}

function conflict(target: ImageTarget, why: string): AgentError {
  return new AgentError(
    'IMAGE_CONFLICT',
    `${imagePath(target)} is another file than the image asked for: ${why}; move it away or use another file name`,
  )
}
