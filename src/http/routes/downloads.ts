import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import type { CatalogImage, DownloadJob } from '../../core/model.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import { neutralise } from '../../core/wire-text.ts'
import type { ImageService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { optionalText, time, toTime, unsigned } from '../schemas.ts'

const downloadRequest = z.object({
  catalogId: optionalText,
  imageId: optionalText.meta({ description: 'required with a url, unless there is a catalogId' }),
  url: optionalText.meta({ description: 'empty: what the catalog has under catalogId' }),
  targetDir: optionalText.meta({ description: 'empty: cloud-images in the pool, or the directory of images' }),
  poolId: optionalText,
  checksum: optionalText,
  filename: optionalText,
  checksumUrl: optionalText,
  signatureUrl: optionalText,
  finalChecksum: optionalText,
  format: z.enum(['qcow2', 'raw']).nullish(),
  compress: z.boolean().nullish(),
  mirrors: z.array(z.string()).nullish().meta({ description: 'more URLs of the same bytes, asked in order' }),
  connections: z.number().nullish().meta({
    description: 'to the server at the same time, 1 to 8; absent: downloads.connections of the configuration',
  }),
  credentials: z
    .union([z.object({ username: z.string(), password: z.string() }), z.object({ token: z.string() })])
    .nullish()
    .meta({ description: 'for the server of the url alone; kept apart, and forgotten when the image is in place' }),
})

const downloadAnswer = z.object({ jobId: z.string(), imageId: z.string(), targetPath: z.string(), message: z.string() })

const downloadJob = z.object({
  jobId: z.string(),
  imageId: z.string(),
  catalogId: z.string(),
  url: z.string(),
  targetPath: z.string(),
  poolId: z.string(),
  // Control planes know no other words: an unknown one keeps them polling for ever.
  status: z.enum(['pending', 'downloading', 'converting', 'completed', 'failed']),
  progressPercent: unsigned.max(100),
  bytesDownloaded: unsigned,
  bytesTotal: unsigned,
  errorMessage: z.string().nullable(),
  startedAt: time,
  completedAt: time.nullable(),
})

const catalogProblem = z.object({ file: z.string(), message: z.string() })
const catalogImage = z.object({
  id: z.string(),
  name: z.string(),
  osFamily: z.string(),
  osDistribution: z.string(),
  osVersion: z.string(),
  architecture: z.string(),
  defaultUser: z.string(),
  provisioning: z.string(),
  url: z.string(),
  checksum: z.string().nullable(),
  checksumUrl: z.string().nullable(),
  signatureUrl: z.string().nullable(),
  finalChecksum: z.string().nullable(),
  format: z.string(),
  origin: z.string().meta({ description: '`built-in`, or the file of images.catalog_dir' }),
})

const jobParams = z.object({ job: z.string() })

/** Image downloads as control planes drive them: POST once (always 200), then poll. */
export function downloadRoutes(images: ImageService): Route[] {
  return [
    route({
      method: 'POST',
      url: '/api/v1/images/download',
      summary: 'Begin an image download; an image that is in place and verified gives a completed job',
      body: downloadRequest,
      responses: { 200: downloadAnswer },
      async handle({ body, signal }) {
        const { jobId, imageId, targetPath, state } = await images.download(toDownloadRequest(body), signal)
        const message = state === 'completed' ? 'image is in place' : 'download started'
        return ok({ jobId, imageId, targetPath, message })
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/images/catalog',
      summary: 'Images that a download can name by catalogId alone',
      responses: { 200: z.object({ images: z.array(catalogImage), problems: z.array(catalogProblem) }) },
      async handle({ signal }) {
        const { images: entries, problems } = await images.catalog(signal)
        return ok({ images: entries.map(toCatalogBody), problems })
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/images/download/:job',
      summary: 'Progress of a download job',
      params: jobParams,
      responses: { 200: downloadJob },
      handle: ({ params }) => ok(toJobBody(images.job(parseId(params.job, 'job')))),
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/images/download/:job',
      summary: 'Cancel a running download job',
      params: jobParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await images.cancel(parseId(params.job, 'job'), signal)
        return noContent
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/images/downloads',
      summary: 'Every download job that the agent remembers',
      responses: { 200: z.object({ jobs: z.array(downloadJob) }) },
      handle: () => ok({ jobs: images.jobs().map(toJobBody) }),
    }),
  ]
}

function toDownloadRequest(body: z.output<typeof downloadRequest>) {
  const check = fieldChecks('INVALID_REQUEST')
  // The catalog knows the rest.
  const required = body.catalogId === ''
  return {
    imageId: check.text(body.imageId, 'imageId', { maxBytes: 255, required }),
    catalogId: body.catalogId === '' ? '' : parseId(body.catalogId, 'catalogId'),
    url: check.text(body.url, 'url', { maxBytes: 8192, required }),
    targetDir: check.text(body.targetDir, 'targetDir', { maxBytes: 4095 }),
    filename: check.text(body.filename, 'filename', { maxBytes: 255 }),
    poolId: body.poolId === '' ? '' : parseId(body.poolId, 'poolId'),
    checksum: check.text(body.checksum, 'checksum', { maxBytes: 8192 }),
    checksumType: '',
    checksumUrl: check.text(body.checksumUrl, 'checksumUrl', { maxBytes: 8192 }),
    signatureUrl: check.text(body.signatureUrl, 'signatureUrl', { maxBytes: 8192 }),
    finalChecksum: check.text(body.finalChecksum, 'finalChecksum', { maxBytes: 256 }),
    ...(typeof body.format === 'string' ? { format: body.format } : {}),
    compress: body.compress ?? false,
    mirrors: (body.mirrors ?? []).map((mirror) => check.text(mirror, 'mirrors', { maxBytes: 8192, required: true })),
    ...(typeof body.connections === 'number' ? { connections: body.connections } : {}),
    ...(body.credentials ? { credentials: body.credentials } : {}),
  }
}

function toCatalogBody(entry: CatalogImage): z.input<typeof catalogImage> {
  const { family, distribution, version, checksum, checksumUrl, signatureUrl, finalChecksum, ...rest } = entry
  return {
    ...rest,
    osFamily: family,
    osDistribution: distribution,
    osVersion: version,
    checksum: checksum ?? null,
    checksumUrl: checksumUrl ?? null,
    signatureUrl: signatureUrl ?? null,
    finalChecksum: finalChecksum ?? null,
  }
}

function toJobBody(job: DownloadJob): z.input<typeof downloadJob> {
  const status = statusWord(job)
  const bytesTotal = toUnsigned(job.bytesTotal)
  const errorMessage =
    job.errorMessage || (job.state === 'cancelled' ? 'the download was cancelled' : 'the download failed')
  return {
    jobId: job.jobId,
    imageId: job.imageId,
    catalogId: job.catalogId,
    url: job.url,
    targetPath: job.targetPath,
    poolId: job.poolId,
    status,
    progressPercent: status === 'completed' ? 100 : Math.min(toUnsigned(job.percent), 100),
    // The control plane takes the size of the image from here once the job is completed.
    bytesDownloaded:
      status === 'completed' ? Math.max(toUnsigned(job.bytesDone), bytesTotal) : toUnsigned(job.bytesDone),
    bytesTotal,
    errorMessage: status === 'failed' ? neutralise(errorMessage) : null,
    startedAt: toTime(job.startedAt),
    completedAt: job.finishedAt === undefined ? null : toTime(job.finishedAt),
  }
}

function statusWord(job: DownloadJob): z.infer<typeof downloadJob>['status'] {
  switch (job.state) {
    case 'pending':
      return 'pending'
    case 'running':
      return job.phase === 'converting' ? 'converting' : 'downloading'
    case 'completed':
      return 'completed'
    case 'failed':
    case 'cancelled':
      return 'failed'
  }
}
