import { parseUuid } from '../core/ids.ts'
import type { SnapshotOperations } from '../domains/snapshot-operations.ts'
import type { SnapshotService } from './contracts.ts'
import { fieldChecks } from './request-fields.ts'

/** SnapshotService over the domain layer: checks what callers send. */
export function createSnapshotService(snapshots: SnapshotOperations): SnapshotService {
  const check = fieldChecks('INVALID_REQUEST')
  const named = (vmId: string, snapshotId: string): [string, string] => [
    parseUuid(vmId, 'vm_id'),
    check.text(snapshotId, 'snapshot_id', { maxBytes: 255, required: true }),
  ]
  return {
    list: async (vmId, signal) => snapshots.list(parseUuid(vmId, 'vm_id'), signal),
    create: async (vmId, request, signal) => snapshots.create(parseUuid(vmId, 'vm_id'), request, signal),
    revert: async (vmId, snapshotId, signal) => snapshots.revert(...named(vmId, snapshotId), signal),
    delete: async (vmId, snapshotId, signal) => snapshots.delete(...named(vmId, snapshotId), signal),
  }
}
