import { AgentError } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { Job, JobEvent, JobFilter } from '../core/model.ts'
import type { JobDetailReaders } from '../operations/job-details.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal, type OperationRecord } from '../operations/operation.ts'
import type { JobService } from './contracts.ts'

export interface JobServiceDeps {
  readonly operations: OperationManager
  readonly details: JobDetailReaders
}

/** The event id of a job's last event; it outlives the process, unlike all others. */
const END = 'end'

/** Every operation of the agent as a job. */
export function createJobService({ operations, details }: JobServiceDeps): JobService {
  // Event ids of another process are no moments of this one.
  const epoch = Date.now().toString(36)
  const view = (record: OperationRecord) => jobOf(record, operations, details)
  const find = (jobId: string): OperationRecord => {
    const record = operations.get(jobId)
    if (record === undefined) throw new AgentError('JOB_NOT_FOUND', `job ${jobId} is unknown`)
    return record
  }
  const eventOf = (jobId: string): JobEvent => {
    const job = view(find(jobId))
    return { id: isFinal(job.state) ? END : `${epoch}.${operations.version(jobId)}`, job }
  }
  return {
    list: (filter) =>
      operations
        .list(filter.kind)
        .map(view)
        .filter((job) => fits(job, filter))
        .reverse(),
    get: (jobId) => view(find(jobId)),
    cancel: async (jobId, signal) => view(await operations.cancel(jobId, signal)),
    retry: async (jobId) => view(await operations.retry(jobId)),
    log: (jobId) => operations.log(jobId),
    async *watch(jobId, after, signal) {
      let changed = Promise.withResolvers<void>()
      const stop = operations.watch(jobId, () => changed.resolve())
      try {
        let last = after
        for (;;) {
          const next = changed.promise
          const event = eventOf(jobId)
          if (event.id !== last) yield event
          if (event.id === END) return
          last = event.id
          await abortable(next, signal)
          changed = Promise.withResolvers()
        }
      } finally {
        stop()
      }
    },
  }
}

function fits(job: Job, { state, resource }: JobFilter): boolean {
  if (state !== undefined && job.state !== state) return false
  if (resource === undefined) return true
  return job.resources.some((one) => one === resource || one.slice(one.indexOf(':') + 1) === resource)
}

function jobOf(record: OperationRecord, operations: OperationManager, readers: JobDetailReaders): Job {
  const { id, kind, state, progress, error, startedAt, finishedAt, retryOf } = record
  const { resources, details } = readers[kind]?.(record) ?? { resources: [], details: {} }
  const { bytesDone = 0, bytesTotal = 0 } = progress ?? {}
  const rate = state === 'running' ? operations.bytesPerSecond(record) : 0
  return {
    jobId: id,
    kind,
    subject: record.subject,
    resources: [...record.locks, ...resources],
    state,
    phase: progress?.phase ?? '',
    percent: percentOf(record),
    bytesDone,
    bytesTotal,
    bytesPerSecond: rate,
    etaSeconds: rate > 0 && bytesTotal > bytesDone ? Math.ceil((bytesTotal - bytesDone) / rate) : 0,
    ...(error === undefined ? {} : { error: { reason: error.reason, message: error.message } }),
    details,
    canRetry: operations.canRetry(record),
    ...(retryOf === undefined ? {} : { retryOf }),
    createdAt: record.createdAt,
    ...(startedAt === undefined ? {} : { startedAt }),
    ...(finishedAt === undefined ? {} : { finishedAt }),
  }
}

// 100 only when it is done.
function percentOf({ state, progress }: OperationRecord): number {
  if (state === 'completed') return 100
  const { percent, bytesDone = 0, bytesTotal = 0 } = progress ?? {}
  return Math.min(99, Math.floor(percent ?? (bytesTotal > 0 ? (bytesDone * 100) / bytesTotal : 0)))
}
