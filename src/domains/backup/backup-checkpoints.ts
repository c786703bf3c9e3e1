import type { OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import { vmLock } from '../power.ts'
import { deleteCheckpoint, listCheckpoints } from './backup-job.ts'
import type { BackupParts } from './backup-parts.ts'
import { BACKUP_CHECKPOINT } from './backup-record.ts'

/** Forgets the checkpoint of a backup, under the lock of the VM: while it is off, its disks are written to, and it must not start meanwhile. Success when there is none. LIBVIRT_*. */
export async function forgetCheckpoint(
  vmId: string,
  checkpoint: string,
  { client, locks }: Pick<BackupParts, 'client' | 'locks'>,
  { signal }: Pick<OpContext, 'signal'>,
): Promise<void> {
  await locks.run(vmLock(vmId), signal, () => deleteCheckpoint(vmId, checkpoint, client, signal))
}

/**
 * Forgets all but the last checkpoint of the backups of a VM: only that is of use, and those of backups that are gone would stay for ever, and keep snapshots from being taken. Never throws: what stays is in the log, and the next backup tries
 * again.
 */
export async function pruneCheckpoints(
  vmId: string,
  parts: Pick<BackupParts, 'catalog' | 'client' | 'locks'>,
  ctx: OpContext,
): Promise<void> {
  try {
    const { backups, damaged } = await parts.catalog.list(ctx, vmId)
    const kept = [
      backups.findLast(({ checkpoint }) => checkpoint !== '')?.checkpoint,
      // They go with what they are of.
      ...damaged.map(({ name }) => `${BACKUP_CHECKPOINT}${name}`),
    ]
    for (const checkpoint of await listCheckpoints(vmId, parts.client, ctx.signal)) {
      if (!checkpoint.startsWith(BACKUP_CHECKPOINT) || kept.includes(checkpoint)) continue
      await forgetCheckpoint(vmId, checkpoint, parts, ctx).catch((error: unknown) => {
        // Meanwhile it costs a bitmap.
        ctx.log.warn({ vm: vmId, checkpoint, err: errorText(error) }, 'a former checkpoint could not be deleted')
      })
    }
  } catch (error) {
    ctx.log.warn({ vm: vmId, err: errorText(error) }, 'former checkpoints cannot be told now')
  }
}
