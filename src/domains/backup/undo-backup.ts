import type { OpContext } from '../../core/context.ts'
import { errorText, isAgentError } from '../../core/errors.ts'
import type { OperationHandler } from '../../operations/operation.ts'
import { delay } from '../../platform/clock.ts'
import { abandonBackup } from './backup-job.ts'
import { BACKUP_KINDS, backupOperation } from './backup-operations.ts'
import type { BackupParts } from './backup-parts.ts'
import { deleteBackupVolumes, findTargets } from './backup-volumes.ts'
import { isComplete } from './complete-backup.ts'
import type { BackupRequest, PlannedBackup } from './plan-backup.ts'

type UndoParts = Pick<BackupParts, 'catalog' | 'client' | 'deps'>

interface CleanupParams {
  readonly request: BackupRequest
  readonly plan: PlannedBackup
}

const UNDO_WAIT_MS = 20_000
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

/** Removes what an attempt at a backup has made, its job and its checkpoint included. What is finished stays, whatever went wrong afterwards. POOL_*, LIBVIRT_*. */
export async function undoBackup(
  request: BackupRequest,
  plan: PlannedBackup,
  parts: UndoParts,
  ctx: OpContext,
): Promise<void> {
  const { vmId, name, poolId } = request
  const { client, deps, catalog } = parts
  const present = await catalog.findIn(poolId, vmId, name, ctx)
  if (present !== undefined) {
    if (present.createdAt !== plan.createdAt || (await isComplete(present, parts, ctx))) return
    await catalog.delete(present, ctx)
  }
  const { checkpoint } = plan
  const targets = await findTargets(poolId, plan, deps, ctx)
  await abandonBackup(vmId, { targets, checkpoint }, client, ctx.signal)
  await deleteBackupVolumes(request, plan, deps, ctx)
}

/** `undoBackup` after a failure: now, or by an operation of its own when that cannot be done now. Nothing when the agent stops: QEMU goes on, and the next agent looks what became of it. */
export async function undoFailed(
  request: BackupRequest,
  plan: PlannedBackup,
  parts: UndoParts & Pick<BackupParts, 'operations'>,
  ctx: OpContext,
): Promise<void> {
  if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) return
  try {
    await undoBackup(request, plan, parts, { ...ctx, signal: AbortSignal.timeout(UNDO_WAIT_MS) })
  } catch (error) {
    const { vmId, name } = request
    ctx.log.error({ vm: vmId, err: errorText(error) }, 'what is left of a failed backup is removed later')
    const params: CleanupParams = { request, plan }
    const { cleanup } = BACKUP_KINDS
    await parts.operations.start(cleanup, params, backupOperation(cleanup, vmId, name))
  }
}

/** The operation that does it later, however long that takes. */
export function backupCleanupHandler(parts: UndoParts): OperationHandler<CleanupParams, undefined, never> {
  return {
    kind: BACKUP_KINDS.cleanup,
    onRestart: 'resume',
    onShutdown: 'interrupt',
    run: async ({ request, plan }, ctx) => {
      for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
        try {
          await undoBackup(request, plan, parts, ctx)
          return
        } catch (error) {
          ctx.signal.throwIfAborted()
          ctx.log.warn({ vm: request.vmId, err: errorText(error) }, 'a failed backup cannot be removed yet')
        }
        await delay(pauseMs, ctx.signal)
      }
    },
  }
}
