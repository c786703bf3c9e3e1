import { errorText, isAgentError } from '../core/errors.ts'
import type { OpContext } from '../core/context.ts'
import type { DownloadCredentials } from '../core/model.ts'
import type { OperationContext, OperationHandler, OperationRecord } from '../operations/operation.ts'
import { delay, monotonicMs } from '../platform/clock.ts'
import type { PoolGuard } from '../storage/pool-guard.ts'
import { currentGuard, type DownloadParams } from './download-plan.ts'
import { DownloadSpace } from './download-space.ts'
import type { DownloadDeps, DownloadJournal, DownloadResult, DownloadRun, StagedImage } from './download-stage.ts'
import { fetchRules } from './fetch-rules.ts'
import { inTarget } from './full-target.ts'
import { imagePath, type ImageTarget } from './image-target.ts'
import { underLease } from './lease/download-lease.ts'
import type { ProofRequest } from './proof/proof-request.ts'
import { RateMeter } from './rate-meter.ts'
import { retried } from './retries.ts'
import { convert } from './stages/convert.ts'
import { copyIn, takeUploaded } from './stages/copy-in.ts'
import { judge } from './stages/judge.ts'
import { prove, proveFinal } from './stages/prove.ts'
import { publish } from './stages/publish.ts'
import { isInterrupted, receive } from './stages/receive.ts'
import { reuseExisting, reuseVolume } from './stages/reuse.ts'
import { unwrap } from './stages/unwrap.ts'
import type { TransferClient } from './transfer-client.ts'
import { TransferSlots } from './transfer-slots.ts'

/** The operation kind of image downloads. */
export const IMAGE_DOWNLOAD = 'image.download'

/** Likewise of conversions of local files. */
export const IMAGE_CONVERT = 'image.convert'

/** How long a job that a restart interrupted waits for its pool to come back. */
const POOL_WAIT_MS = 5 * 60_000
const POOL_RETRY_MS = 2_000
const DISCARD_TIMEOUT_MS = 30_000

/** Image downloads as an operation: one worker process per job, nothing visible before it is complete, durable, verified and inspected. */
export class ImageDownloads implements OperationHandler<DownloadParams, DownloadResult, DownloadJournal> {
  readonly kind: string
  readonly onRestart = 'resume'
  readonly onShutdown = 'interrupt'
  readonly #deps: DownloadDeps
  readonly #slots: TransferSlots
  readonly #rates = new Map<string, RateMeter>()

  /** `kind` is IMAGE_DOWNLOAD or IMAGE_CONVERT: the same work, counted apart. */
  constructor(deps: DownloadDeps, kind: string = IMAGE_DOWNLOAD) {
    this.kind = kind
    this.#deps = deps
    this.#slots = new TransferSlots(deps.settings.maxConcurrent, deps.settings.maxPerServer)
  }

  /** Another attempt asks for the same. */
  retry(params: DownloadParams): DownloadParams {
    return params
  }

  /** Present rate of a running job; 0 when unknown. */
  bytesPerSecond(jobId: string): number {
    return this.#rates.get(jobId)?.bytesPerSecond() ?? 0
  }

  /** Keeps the credentials of a request that is to become a job; what it returns belongs to the parameters. Errors: INVALID_REQUEST, STATE_NOT_WRITABLE. */
  async keepCredentials(credentials: DownloadCredentials | undefined): Promise<Pick<DownloadParams, 'credentialsKey'>> {
    if (credentials === undefined || this.#deps.credentials === undefined) return {}
    return { credentialsKey: await this.#deps.credentials.keep(credentials) }
  }

  /** Forgets what was kept for a request when its job does not use it. */
  async releaseCredentials(
    { credentialsKey }: Pick<DownloadParams, 'credentialsKey'>,
    job: DownloadParams,
  ): Promise<void> {
    if (credentialsKey === undefined || credentialsKey === job.credentialsKey) return
    await this.#deps.credentials?.forget(credentialsKey)
  }

  /** Forgets credentials of no job in `records`. Before jobs are started. */
  async sweepCredentials(records: readonly OperationRecord[]): Promise<void> {
    const keys = records.flatMap(({ kind, params }) =>
      kind === this.kind ? [(params as DownloadParams).credentialsKey] : [],
    )
    await this.#deps.credentials?.sweep(new Set(keys.filter((key) => key !== undefined)))
  }

  async run(params: DownloadParams, ctx: OperationContext<DownloadJournal>): Promise<DownloadResult> {
    const client = this.#deps.openClient(ctx.id)
    const space = new DownloadSpace(params, this.#deps.pools, this.#deps.localSpace)
    const progress: { begun: boolean } = { begun: ctx.journal !== undefined }
    const slot = this.#slots.place(URL.parse(params.url)?.host)
    try {
      await slot.take(ctx.signal)
      client.warm()
      const result = await this.#run(params, { client, space, slot }, progress, ctx)
      if (params.credentialsKey !== undefined) await this.#deps.credentials?.forget(params.credentialsKey)
      return result
    } catch (error) {
      // The cause is what the caller needs.
      const leaves = progress.begun && !isInterrupted(ctx.signal)
      if (leaves) await this.#discard(targetOf(params, ctx.id, undefined), client, ctx)
      throw error
    } finally {
      if (!isInterrupted(ctx.signal)) await this.#deps.bandwidth?.forget(ctx.id)
      space.release()
      this.#rates.delete(ctx.id)
      client.close()
      slot.giveBack()
    }
  }

  async #run(
    params: DownloadParams,
    own: Pick<DownloadRun, 'client' | 'space' | 'slot'>,
    progress: { begun: boolean },
    ctx: OperationContext<DownloadJournal>,
  ): Promise<DownloadResult> {
    const { settings, credentials } = this.#deps
    const rate = new RateMeter()
    this.#rates.set(ctx.id, rate)
    const guard = await this.#waitForPool(params, ctx)
    await ctx.save({ begun: true })
    progress.begun = true
    const target = targetOf(params, ctx.id, guard)
    const rules = await fetchRules(params, settings, credentials)
    const proof = await retried(
      () => own.client.resolveProof(proofOf(params), settings.keyringsDir, rules, ctx.signal),
      settings.patienceMs,
      ctx,
    )
    const onBytes = (total: number) => rate.update(total)
    return this.#download({ ...own, params, proof, rules, target, ctx, deps: this.#deps, onBytes })
  }

  async #download(run: DownloadRun): Promise<DownloadResult> {
    const { target, client, ctx } = run
    const prepared = await inTarget(run, () => client.prepare(target, ctx.signal))
    const before = await reuseVolume(run)
    const { existing } = prepared
    if (before === undefined && existing !== undefined) return inTarget(run, () => reuseExisting(existing, run))
    // When another host has made it, it is found in its place.
    const made = before ?? (await underLease(run, (held) => this.#make(held, prepared.freeBytes)))
    if (made === undefined) return this.#download(run)
    // A volume was copied from the file.
    if (run.params.volume !== undefined) await this.#discard(target, client, ctx)
    return made
  }

  async #make(run: DownloadRun, freeBytes: number): Promise<DownloadResult> {
    const stored = await inTarget(run, async () => {
      const received = await take(run, freeBytes)
      const proven = await prove(received, run)
      const image = await proveFinal(await unwrap(proven, run), run)
      return convert(await judge(image, run), run)
    })
    return publish(stored, run)
  }

  // Leftovers that cannot be removed now are swept when the job or the pool comes back.
  async #discard(target: ImageTarget, client: TransferClient, ctx: OpContext): Promise<void> {
    await client.discard(target, AbortSignal.timeout(DISCARD_TIMEOUT_MS)).catch((failure: unknown) => {
      ctx.log.warn({ err: errorText(failure), path: imagePath(target) }, 'leftovers of a download remain')
    })
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
}

function proofOf({ proof, checksum }: DownloadParams): ProofRequest {
  return proof ?? { level: 'none', ...(checksum === undefined ? {} : { checksum }) }
}

// Every way in ends in the same stages.
function take(run: DownloadRun, freeBytes: number): Promise<StagedImage> {
  const { source, uploadBytes } = run.params
  if (source !== undefined) return copyIn(source, run, freeBytes)
  return uploadBytes === undefined ? receive(run, freeBytes) : takeUploaded(run)
}

/** Where a job with the id `jobId` puts its image; `guard` is the pool's identity now. */
export function targetOf(params: DownloadParams, jobId: string, guard: PoolGuard | undefined): ImageTarget {
  const { directory, fileName, volume, base } = params
  if (volume !== undefined) return { jobId, base, directory: base, fileName: `${jobId}.image` }
  return { jobId, base: guard?.root ?? params.base, ...(guard === undefined ? {} : { guard }), directory, fileName }
}
