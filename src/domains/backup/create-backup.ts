import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { LibvirtGone, LibvirtTimeout } from '../../libvirt/errors.ts'
import type { OperationContext, OperationHandler } from '../../operations/operation.ts'
import { vmError } from '../libvirt-errors.ts'
import { vmLock } from '../power.ts'
import { pruneCheckpoints } from './backup-checkpoints.ts'
import { beginBackup, isBackingUp, waitForBackup } from './backup-job.ts'
import { BACKUP_KINDS } from './backup-operations.ts'
import type { BackupParts } from './backup-parts.ts'
import type { VmBackup } from './backup-record.ts'
import { findTargets, makeBackupVolumes, requireTargets } from './backup-volumes.ts'
import { requireComplete } from './complete-backup.ts'
import { planBackup, type BackupRequest, type PlannedBackup } from './plan-backup.ts'
import { recordBackup } from './record-backup.ts'
import { undoBackup, undoFailed } from './undo-backup.ts'

interface Journal {
  readonly plan: PlannedBackup
  /** QEMU may have been told. */
  readonly begun: boolean
}

type Context = OperationContext<Journal>

/** The operation that makes a backup: QEMU pushes the disks of a VM that runs, those of one that is off are copied. An interrupted one goes on while QEMU does, and is made anew otherwise. */
export function backupCreationHandler(parts: BackupParts): OperationHandler<BackupRequest, VmBackup, Journal> {
  return {
    kind: BACKUP_KINDS.create,
    onRestart: 'resume',
    // QEMU goes on meanwhile; the next agent waits for it.
    onShutdown: 'interrupt',
    run: async (request, ctx) => {
      const { catalog, client } = parts
      const { vmId, name, poolId } = request
      // What its own pool says has to be known: what is finished is not written to again.
      const present = (await catalog.findIn(poolId, vmId, name, ctx)) ?? (await catalog.find(vmId, name, ctx))
      await client.ready(ctx.signal)
      const before = ctx.journal
      if (present !== undefined) {
        if (before !== undefined) await confirm(request, before.plan, present, parts, ctx)
        await pruneCheckpoints(vmId, parts, ctx)
        return present
      }
      if (before?.begun === true && (await isRunning(request, before.plan, parts, ctx)))
        return finish(request, before.plan, parts, ctx)
      // Nobody knows whether an interrupted one became whole, so it is made anew, on nothing of before.
      if (before !== undefined) await undoBackup(request, before.plan, parts, ctx)
      await refuseLeftovers(request, parts, ctx)
      const plan = await planBackup(request, parts, ctx)
      return plan.running ? push(request, plan, parts, ctx) : copy(request, parts, ctx)
    },
  }
}

// Volumes of that name are of an attempt that somebody else may still be at, and hold what nobody knows.
async function refuseLeftovers(
  { vmId, name, poolId }: BackupRequest,
  { catalog }: BackupParts,
  ctx: Context,
): Promise<void> {
  const [volume] = await catalog.volumes(poolId, vmId, name, ctx)
  if (volume === undefined) return
  throw new AgentError(
    'BACKUP_DAMAGED',
    `backup ${quote(name)} of VM ${vmId} cannot be made: pool ${poolId} holds ${volume} of another attempt, which another host may be at; delete that backup first, or use another name`,
  )
}

async function push(request: BackupRequest, plan: PlannedBackup, parts: BackupParts, ctx: Context): Promise<VmBackup> {
  const { client, deps, locks, afterStep } = parts
  const { vmId } = request
  await ctx.save({ plan, begun: false })
  try {
    await makeBackupVolumes(request, plan, deps, ctx)
    const job = await requireTargets(request, plan, deps, ctx)
    afterStep?.('volumes')
    await ctx.save({ plan, begun: true })
    afterStep?.('journal')
    // Nothing else happens to the VM at this instant; afterwards libvirt itself says what a backup allows.
    await locks
      .run(vmLock(vmId), ctx.signal, () => beginBackup(vmId, job, client))
      .catch(async (error: unknown) => {
        if (!(error instanceof LibvirtGone || error instanceof LibvirtTimeout)) throw error
        await client.ready(ctx.signal)
        if (!(await isBackingUp(vmId, job.targets, client, ctx.signal))) throw vmError(error, vmId)
      })
    afterStep?.('begun')
  } catch (error) {
    await undoFailed(request, plan, parts, ctx)
    throw error
  }
  return finish(request, plan, parts, ctx)
}

// A VM that is off is held still by its lock, and its disks are copied.
async function copy(request: BackupRequest, parts: BackupParts, ctx: Context): Promise<VmBackup> {
  return parts.locks.run(vmLock(request.vmId), ctx.signal, async () => {
    const plan = await planBackup(request, parts, ctx)
    if (plan.running) throw new AgentError('CONFLICT', `VM ${request.vmId} was started meanwhile; repeat the backup`)
    await ctx.save({ plan, begun: false })
    try {
      await makeBackupVolumes(request, plan, parts.deps, ctx)
      return await recordBackup(request, plan, parts, ctx)
    } catch (error) {
      await undoFailed(request, plan, parts, ctx)
      throw error
    }
  })
}

async function finish(
  request: BackupRequest,
  plan: PlannedBackup,
  parts: BackupParts,
  ctx: Context,
): Promise<VmBackup> {
  const { client, deps, afterStep } = parts
  let made: VmBackup
  try {
    const { targets } = await requireTargets(request, plan, deps, ctx)
    await waitForBackup(request.vmId, targets, client, ctx)
    afterStep?.('pushed')
    made = await recordBackup(request, plan, parts, ctx)
  } catch (error) {
    await undoFailed(request, plan, parts, ctx)
    throw error
  }
  afterStep?.('recorded')
  await pruneCheckpoints(request.vmId, parts, ctx)
  return made
}

// An agent that was killed may not have looked at what it put. What another host made under the name is that one's.
async function confirm(
  request: BackupRequest,
  plan: PlannedBackup,
  present: VmBackup,
  parts: BackupParts,
  ctx: Context,
): Promise<void> {
  if (present.createdAt !== plan.createdAt) return
  try {
    await requireComplete(present, parts, ctx)
  } catch (error) {
    await undoFailed(request, plan, parts, ctx)
    throw error
  }
}

async function isRunning(
  { vmId, poolId }: BackupRequest,
  plan: PlannedBackup,
  { client, deps }: BackupParts,
  ctx: Context,
): Promise<boolean> {
  return isBackingUp(vmId, await findTargets(poolId, plan, deps, ctx), client, ctx.signal)
}
