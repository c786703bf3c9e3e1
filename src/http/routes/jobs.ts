import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import type { Job, JobEvent, JobFilter } from '../../core/model.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import { neutralise } from '../../core/wire-text.ts'
import type { JobService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { eventStream, type ServerEvent } from '../event-stream.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { queryNumber, time, toTime, unsigned } from '../schemas.ts'

const STATES = ['pending', 'running', 'completed', 'failed', 'cancelled'] as const
const scalar = z.union([z.string(), z.number(), z.boolean()])

const job = z.object({
  jobId: z.string(),
  kind: z.string(),
  subject: z.string(),
  resources: z.array(z.string()),
  state: z.enum(STATES),
  phase: z.string(),
  progressPercent: unsigned.max(100),
  bytesDone: unsigned,
  bytesTotal: unsigned,
  bytesPerSecond: unsigned,
  etaSeconds: unsigned,
  error: z.object({ reason: z.string(), message: z.string() }).nullable(),
  details: z.record(z.string(), scalar),
  canRetry: z.boolean(),
  retryOf: z.string().nullable(),
  createdAt: time,
  startedAt: time.nullable(),
  finishedAt: time.nullable(),
})

const logAnswer = z.object({
  dropped: unsigned.meta({ description: 'older lines that are gone' }),
  lines: z.array(
    z.object({
      at: time,
      level: z.string(),
      message: z.string(),
      fields: z.record(z.string(), scalar),
    }),
  ),
})

const listQuery = z.object({
  kind: z.string().optional(),
  state: z.enum(STATES).optional(),
  resource: z.string().optional().meta({ description: 'a resource of the job, or the part after its colon' }),
  limit: queryNumber,
})

const EVENT_STREAM = 'text/event-stream'
/** Id of the last event of every job (JobEvent). */
const LAST = 'end'

const JOB = '/api/v1/jobs/:job'
const jobParams = z.object({ job: z.string() })
const jobIdOf = (params: { job: string }) => parseId(params.job, 'job')

/** Long work of every kind: what runs, what ran, and how it goes on. */
export function jobRoutes(jobs: JobService): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/jobs',
      summary: 'Jobs that run and jobs that have ended, newest first',
      query: listQuery,
      responses: { 200: z.object({ jobs: z.array(job), total: unsigned }) },
      handle({ query }) {
        const found = jobs.list(toFilter(query))
        const shown = query.limit === undefined ? found : found.slice(0, Number(query.limit))
        return ok({ jobs: shown.map(toJobBody), total: found.length })
      },
    }),
    route({
      method: 'GET',
      url: JOB,
      summary: 'One job',
      params: jobParams,
      responses: { 200: job },
      handle: ({ params }) => ok(toJobBody(jobs.get(jobIdOf(params)))),
    }),
    route({
      method: 'POST',
      url: `${JOB}/cancel`,
      summary: 'Cancel a job and wait until it has really ended',
      params: jobParams,
      responses: { 200: job },
      handle: async ({ params, signal }) => ok(toJobBody(await jobs.cancel(jobIdOf(params), signal))),
    }),
    route({
      method: 'POST',
      url: `${JOB}/retry`,
      summary: 'Begin a failed or cancelled job again, as a new one',
      params: jobParams,
      responses: { 200: job },
      handle: async ({ params }) => ok(toJobBody(await jobs.retry(jobIdOf(params)))),
    }),
    route({
      method: 'GET',
      url: `${JOB}/log`,
      summary: 'The newest lines of the log of a job, oldest first',
      params: jobParams,
      responses: { 200: logAnswer },
      async handle({ params }) {
        const { dropped, lines } = await jobs.log(jobIdOf(params))
        return ok({ dropped, lines: lines.map((line) => ({ fields: {}, ...line, at: toTime(line.at) })) })
      },
    }),
    route({
      method: 'GET',
      url: `${JOB}/events`,
      summary: 'Progress as server-sent events until the job has ended; 204 when the caller has had the last one',
      params: jobParams,
      responses: {
        200: z.string().meta({ contentMediaType: EVENT_STREAM, description: '`progress` events and, last, `end`' }),
        204: null,
      },
      handle({ params, headers, signal }) {
        const jobId = jobIdOf(params)
        jobs.get(jobId)
        const after = String(headers['last-event-id'] ?? '')
        // Browsers connect again after every end of a stream; this answer makes them stop.
        if (after === LAST) return noContent
        return {
          status: 200,
          contentType: EVENT_STREAM,
          headers: { 'cache-control': 'no-cache', 'x-accel-buffering': 'no', connection: 'close' },
          stream: eventStream(serverEvents(jobs.watch(jobId, after, signal)), signal),
          live: true,
        }
      },
    }),
  ]
}

async function* serverEvents(events: AsyncIterable<JobEvent>): AsyncGenerator<ServerEvent> {
  for await (const { id, job } of events) yield { id, event: id === LAST ? 'end' : 'progress', data: toJobBody(job) }
}

function toFilter({ kind, state, resource }: z.output<typeof listQuery>): JobFilter {
  const check = fieldChecks('INVALID_REQUEST')
  return {
    ...(kind === undefined ? {} : { kind: check.text(kind, 'kind', { maxBytes: 64 }) }),
    ...(state === undefined ? {} : { state }),
    ...(resource === undefined ? {} : { resource: check.text(resource, 'resource', { maxBytes: 4200 }) }),
  }
}

function toJobBody(one: Job): z.input<typeof job> {
  const { error, startedAt, finishedAt } = one
  return {
    jobId: one.jobId,
    kind: one.kind,
    subject: one.subject,
    resources: [...one.resources],
    state: one.state,
    phase: one.phase,
    progressPercent: Math.min(toUnsigned(one.percent), 100),
    bytesDone: toUnsigned(one.bytesDone),
    bytesTotal: toUnsigned(one.bytesTotal),
    bytesPerSecond: toUnsigned(one.bytesPerSecond),
    etaSeconds: toUnsigned(one.etaSeconds),
    error: error === undefined ? null : { reason: error.reason.toLowerCase(), message: neutralise(error.message) },
    details: { ...one.details },
    canRetry: one.canRetry,
    retryOf: one.retryOf ?? null,
    createdAt: toTime(one.createdAt),
    startedAt: startedAt === undefined ? null : toTime(startedAt),
    finishedAt: finishedAt === undefined ? null : toTime(finishedAt),
  }
}
