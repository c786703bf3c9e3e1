import type { OpContext } from '../../core/context.ts'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { mayPass } from '../cleanup.ts'
import { dropVolume, dropVolumeLater } from './drop-volume.ts'
import type { CopiedDisk } from './guest-side.ts'
import { leaveLease } from './leave-lease.ts'
import { endMirror } from './mirror.ts'
import { STEP_TIMEOUT_MS, type MoveRun } from './move-run.ts'
import type { MoveParts } from './move-request.ts'
import { defineBack } from './moved-definition.ts'
import type { MovePlan } from './plan-move.ts'
import { described } from './where-is.ts'

/** Leaves the VM with the disk that it had, and nothing of the copy; true when it turns out to have the copy, which then stays. DISK_CHAIN_BROKEN when that cannot be told, LIBVIRT_*, POOL_*. */
export async function giveUpMove(run: MoveRun, ctx: OpContext): Promise<boolean> {
  const { request, notes, copy } = run
  const { vmId } = request
  const { parts } = run.options
  const { plan } = notes.now
  const found = await copy.find(ctx).catch((error: unknown) => {
    // A pool that is away does not keep QEMU from being told to end.
    if (!mayPass(error)) throw error
    return { unavailable: error }
  })
  try {
    const before = await copy.whereIs(found, ctx)
    const { live } = before
    const isSettled = live === undefined || (await sideAfterEnd(live, before.side, parts)) === before.side
    const { side, strayed } = isSettled ? before : await copy.whereIs(found, ctx)
    if (side === 'copy') return true
    if (strayed !== undefined) await defineBack(vmId, plan, strayed, parts, ctx)
  } catch (error) {
    if (!isAgentError(error, 'VM_NOT_FOUND')) throw error
    if (['switching', 'switched'].includes(notes.now.phase)) throw orphaned(vmId, plan, error)
  }
  await notes.save({ phase: 'givingUp' })
  // Comparing may have taken all the time of the step.
  const own = { ...ctx, signal: AbortSignal.timeout(STEP_TIMEOUT_MS) }
  await dropVolume(plan.volume, run, own).catch((error: unknown) => dropVolumeLater(plan.volume, error, run, own))
  const place = copy.placeOf(found)
  for (const left of [plan.source, ...(place === undefined ? [] : [place])])
    await leaveLease({ vmId, diskId: plan.diskId }, left, parts, own)
  return false
}

// What the guest is on when its copy has ended.
async function sideAfterEnd(
  live: CopiedDisk,
  side: 'source' | 'copy',
  parts: MoveParts,
): Promise<'source' | 'copy' | 'off'> {
  try {
    return await endMirror(live, parts)
  } catch (error) {
    // The job of somebody else does not write into the copy.
    if (side === 'source' && isAgentError(error, 'VM_STATE_CONFLICT')) return 'source'
    throw error
  }
}

function orphaned(vmId: string, plan: MovePlan, cause: AgentError): AgentError {
  return new AgentError(
    'DISK_CHAIN_BROKEN',
    `libvirt has no VM ${vmId} any more, whose disk ${plan.diskId} was being switched from one volume to another: both stay (${described(plan)}), and the second may be the newer one`,
    { cause },
  )
}
