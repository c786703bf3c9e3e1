import type { OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import { startDiskCleanup } from '../disk-cleanup.ts'
import { deleteOwnVolumes, type VolumeRef } from '../vm-remains.ts'
import { snapshotsOf } from './move-obstacles.ts'
import type { MoveRun } from './move-run.ts'

type Run = Pick<MoveRun, 'request' | 'options'>

/** Deletes a volume of a move; never one that a VM has: the inventory is asked anew. Errors: those of `deleteOwnVolumes`. */
export async function dropVolume(volume: VolumeRef, { request, options }: Run, ctx: OpContext): Promise<void> {
  await options.inventory.settle(request.vmId)
  await deleteOwnVolumes(options.parts.deps, [volume], request.vmId, ctx, 'anyone')
}

/** Deletes the volume that a disk has left, now or later, unless somebody made snapshots of it since the move began, which would go with it. Errors: those of the state directory. */
export async function dropLeftVolume(leaves: VolumeRef, run: Run, ctx: OpContext): Promise<void> {
  try {
    const kept = await snapshotsOf(leaves, run.options.parts.deps, ctx)
    if (kept.length === 0) return await dropVolume(leaves, run, ctx)
    const { vmId } = run.request
    const what = 'the old volume of a moved disk stays: it has snapshots that were made during the move'
    ctx.log.warn({ vm: vmId, pool: leaves.poolId, volume: leaves.name, snapshots: kept }, what)
  } catch (error) {
    await dropVolumeLater(leaves, error, run, ctx)
  }
}

/** Leaves the deletion of a volume to an operation of its own; `why` goes into the log. Errors: those of the state directory. */
export async function dropVolumeLater(
  volume: VolumeRef,
  why: unknown,
  { request: { vmId }, options }: Run,
  { log }: Pick<OpContext, 'log'>,
): Promise<void> {
  log.warn({ vm: vmId, volume: volume.name, err: errorText(why) }, 'a volume of a move goes later')
  // No disk has that id: only the volume is left.
  await startDiskCleanup(options.operations, { vmId, diskId: '', volumes: [volume] })
}
