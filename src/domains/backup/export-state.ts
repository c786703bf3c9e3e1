import type { OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import { readBackupJob, type BackupCalls } from './backup-job.ts'
import { socketOf } from './backup-xml.ts'
import { isPausedByIoError } from './io-error-pause.ts'
import type { PlannedExport } from './plan-export.ts'

/** What libvirt says of an export now. `io-error`: it is open, and its guest was stopped by an I/O error. */
export type ExportState = 'open' | 'closed' | 'io-error'

/** Undefined while libvirt cannot tell. Throws only when `ctx` ends. */
export async function readExportState(
  vmId: string,
  { socket }: Pick<PlannedExport, 'socket'>,
  client: BackupCalls,
  ctx: OpContext,
): Promise<ExportState | undefined> {
  try {
    const job = await readBackupJob(vmId, client, ctx.signal)
    if (job === undefined || socketOf(job) !== socket) return 'closed'
    return (await isPausedByIoError(vmId, client, ctx.signal)) ? 'io-error' : 'open'
  } catch (error) {
    ctx.signal.throwIfAborted()
    ctx.log.warn({ vm: vmId, err: errorText(error) }, 'whether an export is still open cannot be told now')
    return undefined
  }
}
