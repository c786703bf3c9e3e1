import { withDeadline, type Logger } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { parseId } from '../core/ids.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { DownloadJob, DownloadRequest } from '../core/model.ts'
import { IMAGE_DOWNLOAD, type ImageDownloads } from '../images/download.ts'
import { planDownload, type DownloadParams, type DownloadSettings } from '../images/download-plan.ts'
import { completeRequest, type ImageHomes } from '../images/library/catalog-request.ts'
import type { ImageCatalog } from '../images/library/image-catalog.ts'
import { downloadJobView, type DownloadRecord } from '../images/job-view.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal } from '../operations/operation.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { ImageService } from './contracts.ts'

export interface ImageServiceDeps {
  readonly operations: OperationManager
  readonly pools: PoolAccess
  /** The handler that is registered with `operations`. */
  readonly downloads: ImageDownloads
  readonly settings: DownloadSettings
  readonly catalog: ImageCatalog
  /** Where images go when a request does not say. */
  readonly homes: ImageHomes
  /** Hears of every question after a job that has ended. */
  readonly onEndTold?: (jobId: string) => void
  /** How long the answer to a request waits for the job to be at its end or moving bytes. Default 3 s. */
  readonly settleMs?: number
  readonly log: Logger
}

/** Callers hang up after 10 s: the pool must be there sooner. */
const PLAN_TIMEOUT_MS = 5_000
/** An image that is there before is told at once; a real download is not waited for. */
const SETTLE_MS = 3_000

/** Downloads of images as jobs of the operation manager. */
export function createImageService(deps: ImageServiceDeps): ImageService {
  const { operations, downloads } = deps
  const view = (record: DownloadRecord): DownloadJob => downloadJobView(record, downloads.bytesPerSecond(record.id))
  const find = (jobId: string): DownloadRecord => {
    const record = operations.get(jobId)
    if (record?.kind !== IMAGE_DOWNLOAD) throw new AgentError('JOB_NOT_FOUND', `image job ${jobId} is unknown`)
    return record as DownloadRecord
  }
  return {
    async download(request: DownloadRequest, signal: AbortSignal): Promise<DownloadJob> {
      const id = request.jobId === undefined ? undefined : parseId(request.jobId, 'jobId')
      const ctx = withDeadline({ signal, log: deps.log }, PLAN_TIMEOUT_MS)
      const complete = await completeRequest(request, deps.catalog, deps.homes)
      const params = await planDownload(complete, deps.pools, deps.settings, ctx)
      const path = `${params.directory}/${params.fileName}`
      const key = await downloads.keepCredentials(request.credentials)
      const { id: jobId, params: of } = await operations.start(
        IMAGE_DOWNLOAD,
        { ...params, ...key },
        {
          ...(id === undefined ? {} : { id }),
          subject: `image ${params.fileName}`,
          // Another URL or checksum for the same file is another job: it waits for the lock and then meets what the first one made.
          dedupeKey: JSON.stringify([path, params.url, params.proof ?? '']),
          locks: [`image:${path}`],
        },
      )
      // The job of an earlier request has its own.
      await downloads.releaseCredentials(key, of as DownloadParams)
      await settled(operations, jobId, deps.settleMs ?? SETTLE_MS, signal)
      return view(find(jobId))
    },
    job(jobId) {
      const record = find(jobId)
      if (isFinal(record.state)) deps.onEndTold?.(jobId)
      return view(record)
    },
    catalog: () => deps.catalog.list(),
    jobs: () =>
      operations
        .list()
        .filter((record) => record.kind === IMAGE_DOWNLOAD)
        .map((record) => view(record as DownloadRecord)),
    async cancel(jobId, signal) {
      find(jobId)
      await operations.cancel(jobId, signal)
    },
    watch: (jobId, signal) => watch(operations, () => view(find(jobId)), jobId, signal),
  }
}

// Waits until a job is at its end or moving bytes, at most `settleMs`.
async function settled(
  operations: OperationManager,
  jobId: string,
  settleMs: number,
  signal: AbortSignal,
): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>()
  const look = () => {
    const record = operations.get(jobId)
    const phase = record?.progress?.phase ?? 'pending'
    if (record === undefined || isFinal(record.state) || phase !== 'pending') resolve()
  }
  const stop = operations.watch(jobId, look)
  const timer = setTimeout(resolve, settleMs)
  look()
  try {
    await abortable(promise, signal)
  } finally {
    clearTimeout(timer)
    stop()
  }
}

async function* watch(
  operations: OperationManager,
  current: () => DownloadJob,
  jobId: string,
  signal: AbortSignal,
): AsyncGenerator<DownloadJob> {
  let changed = Promise.withResolvers<void>()
  const stop = operations.watch(jobId, () => changed.resolve())
  try {
    for (;;) {
      const next = changed.promise
      const job = current()
      yield job
      if (isFinal(job.state)) return
      await abortable(next, signal)
      changed = Promise.withResolvers<void>()
    }
  } finally {
    stop()
  }
}
