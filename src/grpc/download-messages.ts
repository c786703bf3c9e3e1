import type { DownloadJob, DownloadRequest } from '../core/model.ts'
import { neutralise } from '../core/wire-text.ts'
import { fieldChecks } from '../services/request-fields.ts'
import { parseId } from '../core/ids.ts'
import { toUnsigned } from '../core/wire-number.ts'
import { _limiquantix_node_v1_DownloadProgress_Status as Status } from './gen/limiquantix/node/v1/DownloadProgress.ts'
import type { DownloadProgress } from './gen/limiquantix/node/v1/DownloadProgress.ts'
import type { DownloadImageOnNodeRequest__Output } from './gen/limiquantix/node/v1/DownloadImageOnNodeRequest.ts'
import { toTimestamp } from './wire-values.ts'

/** A DownloadImage message as the request of ImageService. What the values mean is for the service to judge; here only their form is. */
export function fromDownloadMessage(message: DownloadImageOnNodeRequest__Output): DownloadRequest {
  const check = fieldChecks('INVALID_REQUEST')
  // The catalog knows the rest.
  const required = message.catalogId === ''
  const text = (value: string, field: string, maxBytes = 4095) => check.text(value, field, { maxBytes })
  return {
    ...(message.jobId === '' ? {} : { jobId: parseId(message.jobId, 'job_id') }),
    imageId: text(message.imageId, 'image_id', 255),
    catalogId: message.catalogId === '' ? '' : parseId(message.catalogId, 'catalog_id'),
    url: check.text(message.url, 'url', { maxBytes: 8192, required }),
    targetDir: check.text(message.targetDir, 'target_dir', { maxBytes: 4095, required }),
    filename: text(message.filename, 'filename', 255),
    poolId: message.poolId === '' ? '' : parseId(message.poolId, 'pool_id'),
    checksum: text(message.checksum, 'checksum', 256),
    checksumType: text(message.checksumType, 'checksum_type', 16),
  }
}

/** A job as the download methods answer it. */
export function toDownloadMessage(job: DownloadJob): DownloadProgress {
  return {
    jobId: job.jobId,
    imageId: job.imageId,
    status: statusOf(job),
    progressPercent: Math.min(toUnsigned(job.percent), 100),
    bytesDownloaded: toUnsigned(job.bytesDone),
    bytesTotal: toUnsigned(job.bytesTotal),
    downloadSpeed: toUnsigned(job.bytesPerSecond),
    etaSeconds: Math.min(toUnsigned(job.etaSeconds), 0xffff_ffff),
    path: job.targetPath,
    error: neutralise(job.errorMessage),
    catalogId: job.catalogId,
    url: job.url,
    poolId: job.poolId,
    startedAt: toTimestamp(job.startedAt),
    ...(job.finishedAt === undefined ? {} : { finishedAt: toTimestamp(job.finishedAt) }),
  }
}

function statusOf(job: DownloadJob): (typeof Status)[keyof typeof Status] {
  switch (job.state) {
    case 'pending':
      return Status.STATUS_PENDING
    case 'running':
      if (job.phase === 'converting') return Status.STATUS_CONVERTING
      return job.phase === 'verifying' || job.phase === 'publishing'
        ? Status.STATUS_VERIFYING
        : Status.STATUS_DOWNLOADING
    case 'completed':
      return Status.STATUS_COMPLETED
    case 'failed':
      return Status.STATUS_FAILED
    case 'cancelled':
      return Status.STATUS_CANCELLED
  }
}
