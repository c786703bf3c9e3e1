import { isFinal, type OperationRecord } from '../../operations/operation.ts'
import type { BackupListing } from './backup-record.ts'

/** Kinds of the operations in the journal. */
export const BACKUP_KINDS = {
  create: 'vm.backup',
  restore: 'vm.restore-backup',
  delete: 'vm.delete-backup',
  cleanup: 'vm.backup-cleanup',
} as const

type BackupKind = (typeof BACKUP_KINDS)[keyof typeof BACKUP_KINDS]

/** How an operation on a backup is started: one at a time of a VM, and one for all that ask for the same. `more`: what the same is besides the backup. Pure. */
export function backupOperation(kind: BackupKind, vmId: string, name: string, ...more: readonly string[]) {
  return {
    subject: `vm ${vmId}`,
    dedupeKey: [kind, vmId, name, ...more].join(':'),
    locks: [`backup:${vmId}`],
  }
}

const CHANGES = [BACKUP_KINDS.create, BACKUP_KINDS.cleanup, BACKUP_KINDS.delete]

/** A listing without what only looks damaged because this host is making or deleting it. Pure. */
export function withoutPending({ backups, damaged }: BackupListing, operations: readonly OperationRecord[]) {
  const pending = operations.filter(({ state }) => !isFinal(state)).map(({ dedupeKey }) => dedupeKey)
  const isPending = (vmId: string, name: string) =>
    CHANGES.some((kind) => pending.includes(backupOperation(kind, vmId, name).dedupeKey))
  return { backups, damaged: damaged.filter(({ vmId, name }) => !isPending(vmId, name)) }
}
