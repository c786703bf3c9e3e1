import { z } from 'zod'
import { AgentError } from '../../core/errors.ts'
import { parseId } from '../../core/ids.ts'
import type { DownloadRequest, UploadState } from '../../core/model.ts'
import { neutralise } from '../../core/wire-text.ts'
import type { IntakeService, LibraryService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { fieldText, multipartBoundary, multipartParts } from '../multipart.ts'
import { noContent, ok, route, type Route, type RouteAnswer } from '../route.ts'
import { optionalText, unsigned } from '../schemas.ts'

const proof = {
  checksum: optionalText,
  checksumUrl: optionalText,
  signatureUrl: optionalText,
  finalChecksum: optionalText,
}

const uploadRequest = z.object({
  filename: z.string(),
  imageId: optionalText,
  targetDir: optionalText,
  poolId: optionalText,
  subdir: optionalText,
  sizeBytes: unsigned.nullish(),
  format: z.enum(['qcow2', 'raw']).nullish(),
  compress: z.boolean().nullish(),
  ...proof,
})

const uploadState = z.object({
  uploadId: z.string(),
  targetPath: z.string(),
  offset: unsigned.meta({ description: 'where the next piece has to begin' }),
  sizeBytes: unsigned.nullable(),
})

const multipartAnswer = z.object({
  success: z.boolean(),
  message: z.string(),
  filename: z.string(),
  size_bytes: unsigned,
  path: z.string(),
  iso: z.object({ id: z.string(), name: z.string(), folder_path: z.string(), full_path: z.string() }).nullable(),
})

const uploadQuery = z.object({
  pool_id: z.string().optional(),
  subdir: z.string().optional(),
  folder: z.string().optional(),
})
const UPLOAD = '/api/v1/images/uploads/:upload'
const uploadParams = z.object({ upload: z.string() })
const uploadIdOf = (params: { upload: string }) => parseId(params.upload, 'upload')
const MAX_FIELD_BYTES = 8192

/** Images from the caller itself: in pieces that go on where the last one ended, or in one multipart body. */
export function uploadRoutes(intake: IntakeService, library: LibraryService): Route[] {
  const multipart = (url: string): Route =>
    route({
      method: 'POST',
      url,
      summary:
        'Upload an image as multipart/form-data: fields first (checksum ...), then the file; answers when it is in place',
      query: uploadQuery,
      receives: true,
      responses: { 200: multipartAnswer },
      handle: ({ query, headers, body, signal }) =>
        takeMultipart(
          query,
          multipartParts(body as AsyncIterable<Uint8Array>, multipartBoundary(headers['content-type'])),
          signal,
        ),
    })
  return [
    route({
      method: 'POST',
      url: '/api/v1/images/uploads',
      summary: 'Begin an upload; send its bytes with PUT, then finish it',
      body: uploadRequest,
      responses: { 201: uploadState },
      async handle({ body, signal }) {
        const state = await intake.beginUpload(toRequest(body), body.sizeBytes ?? undefined, signal)
        return { ...answerOf(state), status: 201 }
      },
    }),
    route({
      method: 'GET',
      url: UPLOAD,
      summary: 'How far an upload is; also as headers Upload-Offset and Upload-Length',
      params: uploadParams,
      responses: { 200: uploadState },
      handle: async ({ params }) => answerOf(await intake.upload(uploadIdOf(params))),
    }),
    route({
      method: 'PUT',
      url: UPLOAD,
      summary: 'The bytes of an upload from the offset on (Content-Range), or all of them',
      params: uploadParams,
      receives: true,
      responses: { 200: uploadState },
      async handle({ params, headers, body, signal }) {
        const piece = parsePiece(headers['content-range'], headers['content-length'])
        return answerOf(await intake.writeUpload(uploadIdOf(params), piece, body as AsyncIterable<Uint8Array>, signal))
      },
    }),
    route({
      method: 'POST',
      url: `${UPLOAD}/finish`,
      summary: 'Prove, unwrap, judge, convert and publish what was uploaded: a job with the id of the upload',
      params: uploadParams,
      responses: { 200: z.object({ jobId: z.string(), targetPath: z.string(), message: z.string() }) },
      async handle({ params, signal }) {
        const { jobId, targetPath } = await intake.finishUpload(uploadIdOf(params), signal)
        return ok({ jobId, targetPath, message: 'upload finished; the job makes the image of it' })
      },
    }),
    route({
      method: 'DELETE',
      url: UPLOAD,
      summary: 'Give an upload up',
      params: uploadParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await intake.discardUpload(uploadIdOf(params), signal)
        return noContent
      },
    }),
    multipart('/api/v1/images/upload'),
    multipart('/api/v1/storage/upload'),
  ]

  async function takeMultipart(
    query: z.output<typeof uploadQuery>,
    parts: ReturnType<typeof multipartParts>,
    signal: AbortSignal,
  ): Promise<RouteAnswer> {
    const fields: Record<string, string> = {}
    for await (const part of parts) {
      if (part.filename === undefined) {
        fields[part.name] = await fieldText(part, MAX_FIELD_BYTES)
        continue
      }
      const filename = part.filename.split(/[/\\]/).at(-1) ?? ''
      const subdir = query.subdir ?? (filename.toLowerCase().endsWith('.iso') ? 'iso' : '')
      const given = {
        ...fields,
        filename: fields['filename'] ?? filename,
        poolId: query.pool_id ?? fields['poolId'] ?? '',
        subdir,
      }
      const { uploadId } = await intake.beginUpload(toRequest(uploadRequest.parse(given)), undefined, signal)
      try {
        await intake.writeUpload(uploadId, { offset: 0 }, part.body, signal)
        await intake.finishUpload(uploadId, signal)
      } catch (error) {
        // Nobody knows its id: it cannot be gone on with.
        await intake.discardUpload(uploadId, AbortSignal.timeout(30_000))
        throw error
      }
      return uploaded(uploadId, query.folder ?? '', signal)
    }
    throw new AgentError('INVALID_REQUEST', 'multipart body: it has no file')
  }

  async function uploaded(uploadId: string, folder: string, signal: AbortSignal): Promise<RouteAnswer> {
    const job = await intake.finishedUpload(uploadId, signal)
    if (job.state !== 'completed') {
      throw new AgentError('INVALID_REQUEST', neutralise(job.errorMessage || 'the upload was cancelled'))
    }
    const filename = job.targetPath.split('/').at(-1) ?? ''
    const { images } = await library.scan(signal)
    const found = images.find(({ path }) => path === job.targetPath)
    const image = found !== undefined && folder !== '' ? await library.move(found.id, folder, signal) : found
    const iso =
      image === undefined
        ? null
        : { id: image.id, name: image.name, folder_path: image.folder, full_path: job.targetPath }
    const message = 'image uploaded and verified'
    return ok({ success: true, message, filename, size_bytes: job.bytesDone, path: job.targetPath, iso })
  }
}

function toRequest(body: z.output<typeof uploadRequest>): DownloadRequest & { readonly subdir: string } {
  const check = fieldChecks('INVALID_REQUEST')
  return {
    imageId: check.text(body.imageId, 'imageId', { maxBytes: 255 }),
    catalogId: '',
    url: '',
    targetDir: check.text(body.targetDir, 'targetDir', { maxBytes: 4095 }),
    subdir: check.text(body.subdir, 'subdir', { maxBytes: 1024 }),
    filename: check.text(body.filename, 'filename', { maxBytes: 255, required: true }),
    poolId: body.poolId === '' ? '' : parseId(body.poolId, 'poolId'),
    checksum: check.text(body.checksum, 'checksum', { maxBytes: 8192 }),
    checksumType: '',
    checksumUrl: check.text(body.checksumUrl, 'checksumUrl', { maxBytes: 8192 }),
    signatureUrl: check.text(body.signatureUrl, 'signatureUrl', { maxBytes: 8192 }),
    finalChecksum: check.text(body.finalChecksum, 'finalChecksum', { maxBytes: 256 }),
    ...(typeof body.format === 'string' ? { format: body.format } : {}),
    compress: body.compress ?? false,
  }
}

function answerOf({ uploadId, targetPath, offset, totalBytes }: UploadState): RouteAnswer {
  return {
    status: 200,
    body: { uploadId, targetPath, offset, sizeBytes: totalBytes ?? null },
    headers: {
      'upload-offset': String(offset),
      ...(totalBytes === undefined ? {} : { 'upload-length': String(totalBytes) }),
      'cache-control': 'no-store',
    },
  }
}

// RFC 9110, 14.4; without a range the body is the whole.
function parsePiece(range: unknown, length: unknown): { offset: number; totalBytes?: number } {
  if (range === undefined) return { offset: 0, ...(typeof length === 'string' ? { totalBytes: Number(length) } : {}) }
  const [, first, last, total] = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/.exec(String(range)) ?? []
  const bytes = Number(last) - Number(first) + 1
  const fits =
    bytes > 0 && (total === '*' || Number(last) < Number(total)) && (length === undefined || Number(length) === bytes)
  if (first === undefined || !fits) {
    throw new AgentError(
      'INVALID_REQUEST',
      'Content-Range: write bytes <first>-<last>/<size or *>, as long as the body',
    )
  }
  return { offset: Number(first), ...(total === '*' ? {} : { totalBytes: Number(total) }) }
}
