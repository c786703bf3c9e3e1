import type { DownloadJob, DownloadPhase } from '../core/model.ts'
import type { JobDetails } from '../operations/job-details.ts'
import type { OperationRecord } from '../operations/operation.ts'
import { withoutQuery } from '../platform/fetch-policy.ts'
import type { DownloadJournal, DownloadResult } from './download-stage.ts'
import type { DownloadParams } from './download-plan.ts'

/** An image download as the operation manager keeps it. */
export type DownloadRecord = OperationRecord<DownloadParams, DownloadResult, DownloadJournal>

/** The record as a caller sees it. `bytesPerSecond` is the present rate, 0 when unknown. */
export function downloadJobView(record: DownloadRecord, bytesPerSecond: number): DownloadJob {
  const { params, progress, result, state } = record
  const bytesDone = result?.sizeBytes ?? progress?.bytesDone ?? 0
  const bytesTotal = result?.sizeBytes ?? progress?.bytesTotal ?? 0
  const rate = state === 'running' ? bytesPerSecond : 0
  return {
    jobId: record.id,
    imageId: params.imageId,
    catalogId: params.catalogId,
    url: params.url,
    poolId: params.requestedPoolId,
    targetPath: `${params.directory}/${params.fileName}`,
    state,
    phase: phaseOf(record),
    percent: percentOf(record, bytesDone, bytesTotal),
    bytesDone,
    bytesTotal,
    bytesPerSecond: rate,
    etaSeconds: rate > 0 && bytesTotal > bytesDone ? Math.ceil((bytesTotal - bytesDone) / rate) : 0,
    errorMessage: record.error?.message ?? '',
    startedAt: record.startedAt ?? record.createdAt,
    ...(record.finishedAt === undefined ? {} : { finishedAt: record.finishedAt }),
  }
}

/** What the list of jobs shows of a download, besides what all jobs have. */
export function downloadDetails(record: OperationRecord): JobDetails {
  const { params, result } = record as DownloadRecord
  const { poolId, catalogId, imageId, url, directory, fileName } = params
  return {
    resources: [...(poolId === '' ? [] : [`pool:${poolId}`]), ...(catalogId === '' ? [] : [`catalog:${catalogId}`])],
    details: {
      url: bareUrl(url),
      targetPath: `${directory}/${fileName}`,
      poolId,
      imageId,
      catalogId,
      ...(result === undefined ? {} : { sizeBytes: result.sizeBytes, format: result.format, reused: result.reused }),
      ...(result?.confinement === undefined ? {} : { confinement: result.confinement }),
    },
  }
}

// The query of a URL may be a token.
function bareUrl(text: string): string {
  const url = URL.parse(text)
  return url === null ? '' : withoutQuery(url)
}

const PHASES: readonly string[] = [
  'pending',
  'downloading',
  'verifying',
  'converting',
  'publishing',
] satisfies DownloadPhase[]

function phaseOf({ state, progress }: DownloadRecord): DownloadPhase {
  if (state !== 'pending' && state !== 'running') return 'done'
  const phase = progress?.phase ?? 'pending'
  return PHASES.includes(phase) ? (phase as DownloadPhase) : 'pending'
}

// A whole number, as the contract's reader demands; 100 only when the image is in place.
function percentOf({ state }: DownloadRecord, bytesDone: number, bytesTotal: number): number {
  if (state === 'completed') return 100
  return bytesTotal > 0 ? Math.min(99, Math.floor((bytesDone * 100) / bytesTotal)) : 0
}
