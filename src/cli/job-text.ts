import { formatBytes } from '../core/bytes.ts'
import { textTable } from './text-table.ts'

/** A job as the HTTP API tells it, as far as the commands show it. */
export interface JobAnswer {
  readonly jobId: string
  readonly kind: string
  readonly subject: string
  readonly state: string
  readonly phase: string
  readonly progressPercent: number
  readonly bytesDone: number
  readonly bytesTotal: number
  readonly bytesPerSecond: number
  readonly etaSeconds: number
  readonly error: { readonly reason: string; readonly message: string } | null
  readonly details: Readonly<Record<string, unknown>>
  readonly createdAt: string
}

/** Jobs as a table, in the order given. */
export function jobTable(jobs: readonly JobAnswer[]): string {
  const rows = jobs.map((job) => [
    job.jobId,
    job.kind,
    job.subject,
    job.state,
    `${job.progressPercent} %`,
    job.createdAt.slice(0, 19).replace('T', ' '),
    job.error === null ? '' : job.error.reason.toUpperCase(),
  ])
  return textTable(['JOB', 'KIND', 'SUBJECT', 'STATE', 'DONE', 'CREATED (UTC)', 'ERROR'], rows)
}

/** What a job is doing now, in one line. */
export function jobLine(job: JobAnswer): string {
  const { state, phase, progressPercent, bytesDone, bytesTotal, bytesPerSecond, etaSeconds, error } = job
  const bytes =
    bytesDone === 0 ? '' : ` ${formatBytes(bytesDone)}${bytesTotal > 0 ? ` of ${formatBytes(bytesTotal)}` : ''}`
  const rate = bytesPerSecond > 0 ? `, ${formatBytes(bytesPerSecond)}/s` : ''
  const eta = etaSeconds > 0 ? `, ${etaSeconds} s left` : ''
  const doing = state === 'running' && phase !== '' ? phase : state
  const why = error === null ? '' : `: ${error.message} [${error.reason.toUpperCase()}]`
  return `${doing} ${progressPercent} %${bytes}${rate}${eta}${why}`
}
