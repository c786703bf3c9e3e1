import type { Job } from '../core/model.ts'
import type { OperationRecord } from './operation.ts'

/** What operations of one kind show of their parameters and results; nothing else of these is ever shown. */
export type JobDetails = Pick<Job, 'details' | 'resources'>

/** By kind of operation; a kind without an entry shows nothing. */
export type JobDetailReaders = Readonly<Record<string, (record: OperationRecord) => JobDetails>>
