import type { OpContext } from '../../core/context.ts'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { dropLeftVolume, dropVolumeLater } from './drop-volume.ts'
import { leaveLease } from './leave-lease.ts'
import type { MoveRun } from './move-run.ts'
import { checkMoved, defineMoved } from './moved-definition.ts'

/** Where a disk is when its move is over. */
export interface MovedDisk {
  readonly poolId: string
  readonly volume: string
}

/** Makes the copy, which the VM has by now, the disk of its next start too, and removes the old volume. VOLUME_NOT_FOUND, DISK_CHAIN_BROKEN, LIBVIRT_*, POOL_*. */
export async function finishMove(run: MoveRun, ctx: OpContext): Promise<MovedDisk> {
  const { vmId } = run.request
  const { parts, inventory, afterStep } = run.options
  const { plan } = run.notes.now
  const { diskId, volume, source, leaves } = plan
  const copy = await run.copy.find(ctx)
  if (copy === undefined)
    throw new AgentError(
      'VOLUME_NOT_FOUND',
      `volume ${volume.name}, which disk ${diskId} of VM ${vmId} has moved to, is gone from pool ${volume.poolId}`,
    )
  await defineMoved(vmId, plan, { source: copy.source, sizeBytes: copy.virtualSizeBytes }, parts, ctx)
  afterStep?.('defined')
  await inventory.settle(vmId)
  try {
    await checkMoved(vmId, plan, copy.source, parts, ctx)
  } catch (error) {
    // The old volume goes when nothing names it any more, unless the guest has it after all.
    if (!isAgentError(error, 'DISK_CHAIN_BROKEN')) throw error
    const { side } = await run.copy.whereIs(copy, ctx)
    if (leaves !== undefined && side === 'copy') await dropVolumeLater(leaves, error, run, ctx)
    throw error
  }
  if (leaves !== undefined) await dropLeftVolume(leaves, run, ctx)
  for (const place of [source, copy.source]) await leaveLease({ vmId, diskId }, place, parts, ctx)
  return { poolId: volume.poolId, volume: volume.name }
}
