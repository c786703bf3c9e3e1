import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import type { DownloadJob } from '../../core/model.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import { neutralise } from '../../core/wire-text.ts'
import type { IntakeService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { ok, route, type Route } from '../route.ts'
import { optionalText, time, toTime, unsigned } from '../schemas.ts'

const SOURCE_FORMATS = ['qcow2', 'raw', 'vmdk', 'vhdx', 'vpc', 'vdi'] as const

const convertRequest = z.object({
  sourcePath: z.string(),
  destPath: z.string(),
  sourceFormat: z.enum([...SOURCE_FORMATS, 'vhd']).nullish(),
  destFormat: z.enum(['qcow2', 'raw']).nullish(),
  compress: z.boolean().nullish(),
  checksum: optionalText,
})

const convertAnswer = z.object({ jobId: z.string(), message: z.string(), sourcePath: z.string(), destPath: z.string() })

const conversion = z.object({
  jobId: z.string(),
  sourcePath: z.string(),
  destPath: z.string(),
  status: z.enum(['pending', 'running', 'completed', 'failed']),
  progressPercent: unsigned.max(100),
  errorMessage: z.string().nullable(),
  startedAt: time,
  completedAt: time.nullable(),
})

/** Conversion of local files as jobs (contract 5.9), and the full check of images. */
export function conversionRoutes(intake: IntakeService): Route[] {
  return [
    route({
      method: 'POST',
      url: '/api/v1/storage/convert',
      summary: 'Convert a disk image of a pool or allowed directory; its format is found out by its content',
      body: convertRequest,
      responses: { 200: convertAnswer },
      async handle({ body, signal }) {
        const check = fieldChecks('INVALID_REQUEST')
        const sourceFormat = body.sourceFormat === 'vhd' ? 'vpc' : body.sourceFormat
        const request = {
          sourcePath: check.text(body.sourcePath, 'sourcePath', { maxBytes: 4095, required: true }),
          destPath: check.text(body.destPath, 'destPath', { maxBytes: 4095, required: true }),
          destFormat: body.destFormat ?? 'qcow2',
          compress: body.compress ?? false,
          checksum: check.text(body.checksum, 'checksum', { maxBytes: 8192 }),
          ...(typeof sourceFormat === 'string' ? { sourceFormat } : {}),
        } as const
        return ok({ ...(await intake.convert(request, signal)), message: 'conversion started' })
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/storage/convert/:job',
      summary: 'Progress of a conversion',
      params: z.object({ job: z.string() }),
      responses: { 200: conversion },
      handle: ({ params }) => ok(toConversionBody(intake.conversion(parseId(params.job, 'job')))),
    }),
    route({
      method: 'POST',
      url: '/api/v1/images/verify',
      summary: 'Hold an image against its manifest, byte by byte; the job fails with IMAGE_CHANGED when it is another',
      body: z.object({ path: z.string() }),
      responses: { 200: z.object({ jobId: z.string(), path: z.string(), message: z.string() }) },
      async handle({ body, signal }) {
        const path = fieldChecks('INVALID_REQUEST').text(body.path, 'path', { maxBytes: 4095, required: true })
        return ok({ jobId: await intake.verify(path, signal), path, message: 'verification started' })
      },
    }),
  ]
}

function toConversionBody(job: DownloadJob & { sourcePath: string }): z.input<typeof conversion> {
  const status = job.state === 'cancelled' ? 'failed' : job.state
  const failure =
    job.errorMessage || (job.state === 'cancelled' ? 'the conversion was cancelled' : 'the conversion failed')
  return {
    jobId: job.jobId,
    sourcePath: job.sourcePath,
    destPath: job.targetPath,
    status,
    progressPercent: status === 'completed' ? 100 : Math.min(toUnsigned(job.percent), 100),
    errorMessage: status === 'failed' ? neutralise(failure) : null,
    startedAt: toTime(job.startedAt),
    completedAt: job.finishedAt === undefined ? null : toTime(job.finishedAt),
  }
}
