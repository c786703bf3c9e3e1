import type { OpContext } from '../../core/context.ts'
import type { KeyedLock } from '../../core/keyed-lock.ts'
import { vmLock } from '../power.ts'
import { deleteCheckpoint, refuseRunning, type BackupCalls } from './backup-job.ts'
import { EXPORT_CHECKPOINT } from './plan-export.ts'

/**
 * Forgets the checkpoint that a complete export left in a VM, running or off: the next one has to read everything, and snapshots are possible when it was the last. Success when there is none. CONFLICT while an export or a backup
 * of the VM is under way, LIBVIRT_*.
 */
export async function forgetExport(
  vmId: string,
  name: string,
  { client, locks }: { readonly client: BackupCalls; readonly locks: KeyedLock },
  ctx: OpContext,
): Promise<void> {
  // One is begun under this lock.
  await locks.run(vmLock(vmId), ctx.signal, async () => {
    await refuseRunning(vmId, client, ctx)
    await deleteCheckpoint(vmId, `${EXPORT_CHECKPOINT}${name}`, client, ctx.signal)
  })
}
