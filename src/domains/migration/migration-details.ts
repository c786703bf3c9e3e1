import type { MigrationRequest } from '../../core/model.ts'
import type { JobDetails } from '../../operations/job-details.ts'
import type { OperationRecord } from '../../operations/operation.ts'
import type { OutgoingResult } from './outgoing-journal.ts'

/** What the job of a migration shows: where to, and how long the guest stood still. */
export function migrationDetails({ params, result }: OperationRecord): JobDetails {
  const { target, copyStorage } = params as MigrationRequest
  const { downtimeMs } = (result ?? {}) as OutgoingResult
  return { resources: [], details: { target, copyStorage, ...(downtimeMs === undefined ? {} : { downtimeMs }) } }
}
