import path from 'node:path'
import { withDeadline, type Logger, type OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { ConversionRequest, DownloadJob, DownloadRequest, UploadState } from '../core/model.ts'
import { IMAGE_CONVERT, IMAGE_DOWNLOAD } from '../images/download.ts'
import { planDownload, planImage, type DownloadParams, type DownloadSettings } from '../images/download-plan.ts'
import { downloadJobView, type DownloadRecord } from '../images/job-view.ts'
import { completeRequest, type ImageHomes } from '../images/library/catalog-request.ts'
import type { ImageCatalog } from '../images/library/image-catalog.ts'
import { planLocalSource } from '../images/local-source.ts'
import type { UploadRecord, Uploads } from '../images/upload/uploads.ts'
import { IMAGE_VERIFY } from '../images/verify-image.ts'
import type { OperationManager } from '../operations/manager.ts'
import { parseAbsolutePath, splitRelative } from '../platform/files.ts'
import { aliasPath } from '../storage/pool-alias.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { IntakeService } from './contracts.ts'

export interface IntakeServiceDeps {
  readonly operations: OperationManager
  readonly pools: PoolAccess
  readonly settings: DownloadSettings
  readonly uploads: Uploads
  readonly catalog: Pick<ImageCatalog, 'find'>
  readonly homes: ImageHomes
  /** Throws SOURCE_NOT_FOUND when there is nothing at an absolute path in `root`. */
  readonly requireFile: (file: string, root: string, signal: AbortSignal) => Promise<void>
  readonly log: Logger
}

const PLAN_TIMEOUT_MS = 5_000

/** Images from this host and from callers, on the stages of downloads. */
export function createIntakeService(deps: IntakeServiceDeps): IntakeService {
  const { operations, pools, settings, uploads } = deps
  const planning = (signal: AbortSignal) => withDeadline({ signal, log: deps.log }, PLAN_TIMEOUT_MS)
  const start = async (kind: string, params: DownloadParams, id?: string): Promise<string> => {
    const place = `${params.directory}/${params.fileName}`
    const record = await operations.start(kind, params, {
      ...(id === undefined ? {} : { id }),
      subject: `image ${params.fileName}`,
      dedupeKey: JSON.stringify([kind, place, params.url, params.proof ?? '', params.format ?? '']),
      locks: [`image:${place}`],
    })
    return record.id
  }
  const jobOf = (jobId: string, kind: string): DownloadJob => {
    const record = operations.get(jobId)
    if (record?.kind !== kind) throw new AgentError('JOB_NOT_FOUND', `job ${jobId} is unknown`)
    return downloadJobView(record as DownloadRecord, operations.bytesPerSecond(record))
  }
  return {
    async convert(request: ConversionRequest, signal) {
      const ctx = planning(signal)
      const source = parseAbsolutePath(request.sourcePath, 'sourcePath')
      const dest = parseAbsolutePath(request.destPath, 'destPath')
      const params = await planDownload(asDownload(request, source, dest), pools, settings, ctx)
      if (params.source !== undefined) await deps.requireFile(source, params.source.base, ctx.signal)
      const jobId = await start(IMAGE_CONVERT, {
        ...params,
        ...(request.sourceFormat === undefined ? {} : { sourceFormat: request.sourceFormat }),
      })
      return { jobId, sourcePath: source, destPath: dest }
    },
    conversion(jobId) {
      const record = operations.get(jobId) as DownloadRecord | undefined
      const source = record?.params.source
      const sourcePath = source === undefined ? '' : path.join(source.directory, source.fileName)
      return { ...jobOf(jobId, IMAGE_CONVERT), sourcePath }
    },
    async verify(file, signal) {
      const place = await planLocalSource(
        parseAbsolutePath(file, 'path'),
        pools,
        settings.allowedDirs,
        planning(signal),
      )
      const { id } = await operations.start(IMAGE_VERIFY, place, {
        subject: `image ${place.fileName}`,
        dedupeKey: JSON.stringify([IMAGE_VERIFY, place]),
      })
      return id
    },
    async beginUpload(request, totalBytes, signal) {
      const ctx = planning(signal)
      if (request.filename === '' && request.catalogId === '') {
        throw new AgentError('INVALID_REQUEST', 'filename: must not be empty')
      }
      const url = new URL(`upload:///${encodeURIComponent(request.filename)}`)
      const { subdir, poolId } = request
      const home = poolId === '' ? deps.homes.cloudImages : aliasPath(deps.homes.aliases, poolId, '')
      const inSubdir = subdir === '' ? '' : path.join(home, ...splitRelative(subdir))
      const targetDir = request.targetDir || inSubdir
      const complete = await completeRequest({ ...request, targetDir, url: url.href }, deps.catalog, deps.homes)
      const params = await planImage(complete, url, {}, pools, settings, ctx)
      return stateOf(await uploads.begin(params, totalBytes))
    },
    upload: async (uploadId) => stateOf(await uploads.get(uploadId)),
    writeUpload: async (uploadId, piece, body, signal) => stateOf(await uploads.write(uploadId, piece, body, signal)),
    async finishUpload(uploadId, signal) {
      // The answer to an earlier finish may have got lost.
      if (operations.get(uploadId) === undefined) {
        await uploads.finish(uploadId, async (params) => void (await start(IMAGE_DOWNLOAD, params, uploadId)), signal)
      }
      return jobOf(uploadId, IMAGE_DOWNLOAD)
    },
    async finishedUpload(uploadId, signal) {
      await abortable(operations.wait(uploadId, signal), signal)
      return jobOf(uploadId, IMAGE_DOWNLOAD)
    },
    discardUpload: (uploadId, signal) => uploads.discard(uploadId, signal),
  }
}

/** Throws SOURCE_NOT_FOUND when there is no file at `file`, SOURCE_REFUSED when links lead out of `root`. */
export async function requireSource(
  file: string,
  root: string,
  media: { kind(path: string, root: string, ctx: OpContext): Promise<string> },
  ctx: OpContext,
): Promise<void> {
  const kind = await media.kind(file, root, ctx)
  if (kind === 'missing') throw new AgentError('SOURCE_NOT_FOUND', `sourcePath: ${quote(file)} is missing on this host`)
  if (kind !== 'file')
    throw new AgentError('SOURCE_REFUSED', `sourcePath: ${quote(file)} is no regular file in ${root}`)
}

function asDownload(request: ConversionRequest, source: string, dest: string): DownloadRequest {
  if (dest === source) throw new AgentError('INVALID_REQUEST', `destPath: ${quote(dest)} is the source itself`)
  return {
    imageId: '',
    catalogId: '',
    url: source,
    targetDir: path.dirname(dest),
    filename: path.basename(dest),
    poolId: '',
    checksum: request.checksum ?? '',
    checksumType: '',
    format: request.destFormat,
    ...(request.compress === true ? { compress: true } : {}),
  }
}

function stateOf({ id, params, totalBytes, durableBytes }: UploadRecord): UploadState {
  return {
    uploadId: id,
    targetPath: `${params.directory}/${params.fileName}`,
    offset: durableBytes,
    ...(totalBytes === undefined ? {} : { totalBytes }),
  }
}
