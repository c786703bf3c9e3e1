import type { OperationHandler } from '../../operations/operation.ts'
import { forgetCheckpoint, pruneCheckpoints } from './backup-checkpoints.ts'
import { BACKUP_KINDS } from './backup-operations.ts'
import type { BackupParts } from './backup-parts.ts'
import { deleteBackup, findDeletable, findStill, type DeletedBackup } from './delete-backup.ts'

/** Which backup is to be deleted. */
export interface DeletionRequest {
  readonly vmId: string
  readonly name: string
}

/** The operation that deletes a backup and its checkpoint: the one that was meant when it began, and none that somebody made in its place since. */
export function backupDeletionHandler(parts: BackupParts): OperationHandler<DeletionRequest, undefined, DeletedBackup> {
  return {
    kind: BACKUP_KINDS.delete,
    onRestart: 'resume',
    onShutdown: 'interrupt',
    run: async ({ vmId, name }, ctx) => {
      const { client, afterStep } = parts
      const meant = ctx.journal ?? (await findDeletable(vmId, name, parts, ctx))
      if (meant === undefined) return
      await ctx.save(meant)
      afterStep?.('meant')
      // These can take long, and nothing that was seen before holds afterwards.
      await client.ready(ctx.signal)
      const found = await findStill(vmId, name, meant, parts, ctx)
      if (found !== undefined) {
        await forgetCheckpoint(vmId, found.checkpoint, parts, ctx)
        afterStep?.('forgotten')
        if ((await findStill(vmId, name, meant, parts, ctx)) !== undefined)
          await deleteBackup(vmId, name, found.poolId, parts, ctx)
      }
      await pruneCheckpoints(vmId, parts, ctx)
    },
  }
}
