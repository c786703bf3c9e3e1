import { errorText } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { OperationHandler, OperationRecord } from '../../operations/operation.ts'
import type { PoolUserSource } from '../../storage/pool-access.ts'
import { backupDeletionHandler, type DeletionRequest } from './backup-deletion.ts'
import { requireBackupName } from './backup-name.ts'
import { BACKUP_KINDS, backupOperation, withoutPending } from './backup-operations.ts'
import type { BackupParts } from './backup-parts.ts'
import { backupOwner, type BackupListing } from './backup-record.ts'
import { backupCreationHandler } from './create-backup.ts'
import { findDeletable } from './delete-backup.ts'
import { forgetExport } from './forget-export.ts'
import { planBackup, type BackupRequest } from './plan-backup.ts'
import { restoreBackup, type RestoredDisk, type RestoreJournal, type RestoreRequest } from './restore-backup.ts'
import { backupCleanupHandler } from './undo-backup.ts'

/**
 * Backups of VMs as journaled operations: QEMU pushes the disks of a running VM, as they are at one instant, into qcow2 volumes of a pool, and those of one that is off are copied. Registers its operation
 * kinds when constructed.
 */
export class Backups {
  readonly #parts: BackupParts

  constructor(parts: BackupParts) {
    this.#parts = parts
    parts.operations.register(backupCreationHandler(parts))
    parts.operations.register(this.#restoration())
    parts.operations.register(backupDeletionHandler(parts))
    parts.operations.register(backupCleanupHandler(parts))
  }

  /** Of one VM, also of one that is gone, or of all; those on their way here are not among them. */
  async list(vmId: string | undefined, signal: AbortSignal): Promise<BackupListing> {
    const { catalog, operations, log } = this.#parts
    return withoutPending(await catalog.list({ signal, log }, vmId, 'count'), operations.list())
  }

  /** Starts a backup; a name that is taken is that backup. Returns the operation, whose result is a VmBackup. INVALID_NAME, errors of `planBackup`. */
  async create(request: BackupRequest, signal: AbortSignal): Promise<OperationRecord> {
    const { catalog, operations, log } = this.#parts
    const { vmId, name } = request
    requireBackupName(name)
    // What can be said at once is said without an operation.
    const ctx = { signal, log }
    if ((await catalog.find(vmId, name, ctx)) === undefined) await planBackup(request, this.#parts, ctx)
    const kind = BACKUP_KINDS.create
    return operations.start<BackupRequest>(kind, request, backupOperation(kind, vmId, name))
  }

  /** Starts to copy a backup into new volumes, which are compared with it. Returns the operation, whose result is a list of RestoredDisk. BACKUP_NOT_FOUND, BACKUP_DAMAGED. */
  async restore(request: RestoreRequest, signal: AbortSignal): Promise<OperationRecord> {
    const { catalog, operations, log } = this.#parts
    const { vmId, name, poolId, prefix } = request
    await catalog.require(vmId, name, { signal, log })
    const kind = BACKUP_KINDS.restore
    return operations.start<RestoreRequest>(kind, request, backupOperation(kind, vmId, name, poolId, prefix))
  }

  /** Success when it is gone. BACKUP_IN_USE while a later one needs it, POOL_*, LIBVIRT_*. */
  async delete(vmId: string, name: string, signal: AbortSignal): Promise<void> {
    const { operations, log } = this.#parts
    if ((await findDeletable(vmId, name, this.#parts, { signal, log })) === undefined) return
    const kind = BACKUP_KINDS.delete
    const record = await operations.start<DeletionRequest>(kind, { vmId, name }, backupOperation(kind, vmId, name))
    await operations.result(record.id, signal)
  }

  /** `forgetExport`; INVALID_NAME. */
  async forgetExport(vmId: string, name: string, signal: AbortSignal): Promise<void> {
    requireBackupName(name)
    await forgetExport(vmId, name, this.#parts, { signal, log: this.#parts.log })
  }

  /** Keeps volumes of backups from being deleted as such. */
  readonly users: PoolUserSource = async (pool, ctx) => {
    if (pool.guard === undefined || pool.backend.layers === undefined) return []
    const { catalog } = this.#parts
    const used = await catalog.usedVolumes(pool, ctx).catch((error: unknown) => {
      ctx.signal.throwIfAborted()
      ctx.log.warn({ pool: pool.config.poolId, err: errorText(error) }, 'the backups in a pool cannot be told now')
      return catalog.rememberedVolumes(pool)
    })
    return used.map(({ vmId, name, path }) => ({
      name: `backup ${quote(name)} of VM ${vmId}`,
      owner: backupOwner(vmId, name),
      path,
      access: 'idle' as const,
    }))
  }

  #restoration(): OperationHandler<RestoreRequest, RestoredDisk[], RestoreJournal> {
    return {
      kind: BACKUP_KINDS.restore,
      onRestart: 'resume',
      onShutdown: 'interrupt',
      run: (request, ctx) => restoreBackup(request, this.#parts, ctx),
    }
  }
}
