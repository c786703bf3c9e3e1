import type { OpContext } from '../../core/context.ts'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { DomainDeps } from '../deps.ts'
import type { BackupCatalog } from './backup-catalog.ts'
import type { VmBackup } from './backup-record.ts'

interface CompletionParts {
  readonly catalog: BackupCatalog
  readonly deps: DomainDeps
}

/**
 * Whether all that a backup is made of is there, now that its manifest is. To be asked after that was put: until then others could delete what it stands on, and its volumes as those of an attempt that was cut off; from then on they see
 * that it needs them. POOL_*.
 */
export async function isComplete(made: VmBackup, parts: CompletionParts, ctx: OpContext): Promise<boolean> {
  return (await missingOf(made, parts, ctx)) === undefined
}

/** BACKUP_FAILED unless `isComplete`. */
export async function requireComplete(made: VmBackup, parts: CompletionParts, ctx: OpContext): Promise<void> {
  const missing = await missingOf(made, parts, ctx)
  if (missing === undefined) return
  throw new AgentError(
    'BACKUP_FAILED',
    `backup ${quote(made.name)} of VM ${made.vmId} is not whole, because somebody deleted ${missing} in pool ${made.poolId} meanwhile; repeat it`,
  )
}

async function missingOf(
  made: VmBackup,
  { catalog, deps }: CompletionParts,
  ctx: OpContext,
): Promise<string | undefined> {
  const { backend } = await deps.pools.require(made.poolId, ctx)
  for (const { volume } of made.disks)
    if ((await backend.getVolume(volume, ctx)) === undefined) return `volume ${volume}`
  try {
    await catalog.chain(made, ctx)
    return undefined
  } catch (error) {
    if (isAgentError(error, 'BACKUP_DAMAGED')) return `backup ${quote(made.parent)} or one before it`
    throw error
  }
}
