import { basename } from 'node:path'
import { placeOf } from '../../core/model.ts'
import type { OpContext } from '../../core/context.ts'
import { nameBackingBeside } from '../../storage/qemu-img.ts'
import type { BackupParts } from './backup-parts.ts'
import type { BackupDisk, VmBackup } from './backup-record.ts'
import { requireTargets } from './backup-volumes.ts'
import { requireComplete } from './complete-backup.ts'
import { fileDigest, untilClosed } from './file-digest.ts'
import type { BackupRequest, PlannedBackup } from './plan-backup.ts'

/** Makes volumes that hold all they are to hold a backup: takes their digests, names what is below them by its place beside them, and puts the manifest. BACKUP_FAILED when somebody deleted a part meanwhile, POOL_*. */
export async function recordBackup(
  request: BackupRequest,
  plan: PlannedBackup,
  parts: Pick<BackupParts, 'catalog' | 'deps' | 'afterStep'>,
  ctx: OpContext,
): Promise<VmBackup> {
  const { catalog, deps, afterStep } = parts
  const { vmId, name, poolId } = request
  const { targets } = await requireTargets(request, plan, deps, ctx)
  const { backend } = await deps.pools.require(poolId, ctx)
  const disks: BackupDisk[] = []
  for (const [index, { diskId, targetDev, volume, sizeBytes, below }] of plan.disks.entries()) {
    ctx.progress?.({ phase: `digest of ${diskId}` })
    const path = targets[index]?.path ?? ''
    await untilClosed(path, ctx)
    if (below !== '') {
      const beside = basename(placeOf(await backend.diskSource(below, ctx)))
      await nameBackingBeside(path, { name: beside, format: 'qcow2' }, ctx)
    }
    disks.push({ diskId, targetDev, volume, path, sizeBytes, sha256: await fileDigest(path, ctx) })
  }
  const { vmName, createdAt, parent, checkpoint, definition } = plan
  const made = { vmId, name, vmName, poolId, createdAt, parent, checkpoint, disks, definition }
  afterStep?.('digested')
  await catalog.put(made, ctx)
  afterStep?.('put')
  await requireComplete(made, parts, ctx)
  return made
}
