import type { OperationRecord } from '../../operations/operation.ts'
import type { BackupExport, ExportOutcome, ExportRequest } from './export-record.ts'
import type { PlannedExport } from './plan-export.ts'

/** Kind of the operation in the journal. */
export const EXPORT_KIND = 'vm.backup-export'

/** What is persisted of an export. */
export interface ExportJournal {
  readonly plan: PlannedExport
  /** `opening`: QEMU may have been told, and nobody was told of it. */
  readonly phase: 'opening' | 'open' | 'ending'
  /** With `ending`. */
  readonly outcome?: ExportOutcome
}

/** Of an operation of `EXPORT_KIND`. Pure. */
export function exportRequestOf(record: OperationRecord): ExportRequest {
  return record.params as ExportRequest
}

/** Of an operation of `EXPORT_KIND`; undefined until it is planned. Pure. */
export function exportJournalOf(record: OperationRecord): ExportJournal | undefined {
  return record.journal as ExportJournal | undefined
}

/** The export that an operation of `EXPORT_KIND` has open; undefined before and afterwards. Pure. */
export function openExportOf(record: OperationRecord): BackupExport | undefined {
  const journal = exportJournalOf(record)
  return journal?.phase === 'open' ? describeExport(record.id, exportRequestOf(record), journal.plan) : undefined
}

/** What its reader is told of an export. Pure. */
export function describeExport(jobId: string, { vmId, name }: ExportRequest, plan: PlannedExport): BackupExport {
  const { socket, checkpoint, since, expiresAt } = plan
  const disks = plan.disks.map(({ scratch: _, ...disk }) => disk)
  return { jobId, vmId, name, socket, disks, checkpoint, since, expiresAt }
}
