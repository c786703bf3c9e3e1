import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { placeOf } from '../../core/model.ts'
import type { DomainDeps } from '../deps.ts'
import type { BackupPlan } from './backup-job.ts'
import { backupOwner } from './backup-record.ts'
import type { BackupTarget } from './backup-xml.ts'
import type { BackupRequest, PlannedBackup } from './plan-backup.ts'

/**
 * Makes the volumes of a backup: on those of its parent, empty ones that a running VM is pushed into, or copies of the disks of one that is off. Volumes that the same attempt has made are kept. POOL_FULL, VOLUME_CONFLICT, other POOL_*.
 */
export async function makeBackupVolumes(
  request: BackupRequest,
  plan: PlannedBackup,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<void> {
  const { vmId, poolId } = request
  const { backend } = await deps.pools.require(poolId, ctx)
  const bytes = plan.parent === '' ? plan.disks.reduce((sum, { allocatedBytes }) => sum + allocatedBytes, 0) : 0
  const space = await deps.pools.reserve(poolId, bytes, ctx, `backup of VM ${vmId}`)
  try {
    for (const { diskId, volume, sizeBytes, below, source } of plan.disks) {
      const content =
        below !== ''
          ? ({ type: 'overlay', path: placeOf(await backend.diskSource(below, ctx)), format: 'qcow2' } as const)
          : plan.running
            ? ({ type: 'empty' } as const)
            : ({ type: 'copy', source } as const)
      const phase = `copy of ${diskId}`
      await backend.createVolume(
        { name: volume, format: 'qcow2', sizeBytes, content, owner: ownerOf(request, plan) },
        ctx,
        { onCopy: ({ bytesDone, bytesTotal }) => ctx.progress?.({ phase, bytesDone, bytesTotal }) },
      )
    }
  } finally {
    space.release()
  }
}

/** Deletes them; success when they are gone, and those of other attempts stay. POOL_*. */
export async function deleteBackupVolumes(
  request: BackupRequest,
  plan: PlannedBackup,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<void> {
  const { backend } = await deps.pools.require(request.poolId, ctx)
  for (const { volume } of plan.disks) await backend.deleteVolume(volume, ctx, ownerOf(request, plan))
}

/** What libvirt is told to push where. BACKUP_FAILED when a volume is gone, POOL_*. */
export async function requireTargets(
  { poolId }: BackupRequest,
  plan: PlannedBackup,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<BackupPlan> {
  const targets = await findTargets(poolId, plan, deps, ctx)
  if (targets.length < plan.disks.length)
    throw new AgentError('BACKUP_FAILED', `somebody deleted a volume of a backup in pool ${quote(poolId)} meanwhile`)
  return { targets, allDisks: plan.allDisks, since: plan.since, checkpoint: plan.checkpoint }
}

/** The volumes of a backup that are there. POOL_*. */
export async function findTargets(
  poolId: string,
  plan: PlannedBackup,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<BackupTarget[]> {
  const { backend } = await deps.pools.require(poolId, ctx)
  const found: BackupTarget[] = []
  for (const { targetDev, volume } of plan.disks) {
    const made = await backend.getVolume(volume, ctx)
    if (made !== undefined) found.push({ targetDev, path: placeOf(made.source) })
  }
  return found
}

function ownerOf({ vmId, name }: BackupRequest, { owner }: PlannedBackup): string {
  return owner ?? backupOwner(vmId, name)
}
