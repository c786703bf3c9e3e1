import { AgentError, errorText, isAgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { placeOf, type DiskFormat } from '../../core/model.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { holdSameBytes, imagePlace } from '../../storage/qemu-img.ts'
import type { VolumeManager } from '../../storage/volume-manager.ts'
import type { DomainDeps } from '../deps.ts'
import type { BackupCatalog } from './backup-catalog.ts'
import { checkBackup } from './check-backup.ts'

export interface RestoreRequest {
  readonly vmId: string
  readonly name: string
  readonly poolId: string
  /** The volumes are `<prefix>-<disk>`. */
  readonly prefix: string
}

/** A volume that holds a disk as it was. */
export interface RestoredDisk {
  readonly diskId: string
  readonly poolId: string
  readonly volume: string
  readonly path: string
  readonly sizeBytes: number
}

const UNDO_WAIT_MS = 120_000
const COMPARE_TIMEOUT_MS = 24 * 60 * 60_000

/** Names of the volumes that a restore makes, each written down before it is made. */
export interface RestoreJournal {
  readonly volumes: readonly string[]
}

export interface RestoreParts {
  readonly deps: DomainDeps
  readonly catalog: BackupCatalog
  readonly volumes: Pick<VolumeManager, 'delete'>
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}

/**
 * Copies the disks of a backup into new volumes, each whole and on its own. The files of the backup are compared with their digests before, and the volumes with the backup afterwards. Nothing of it is left
 * when it fails, and what another restore made, or anybody else, is not touched. BACKUP_NOT_FOUND, BACKUP_DAMAGED, POOL_*, VOLUME_CONFLICT, POOL_FULL.
 */
export async function restoreBackup(
  request: RestoreRequest,
  parts: RestoreParts,
  ctx: OperationContext<RestoreJournal>,
): Promise<RestoredDisk[]> {
  const names = [...(ctx.journal?.volumes ?? [])]
  try {
    return await restore(request, parts, names, ctx)
  } catch (error) {
    // The next agent goes on with what is there.
    if (!isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) await removeOwn(request, parts, names, ctx)
    throw error
  }
}

async function restore(
  { vmId, name, poolId, prefix }: RestoreRequest,
  { deps, catalog, afterStep }: RestoreParts,
  names: string[],
  ctx: OperationContext<RestoreJournal>,
): Promise<RestoredDisk[]> {
  const backup = await catalog.require(vmId, name, ctx)
  await checkBackup(await catalog.chain(backup, ctx), deps, ctx)
  const { backend } = await deps.pools.require(poolId, ctx)
  const format: DiskFormat = backend.traits.formats.includes('qcow2') ? 'qcow2' : 'raw'
  const made: RestoredDisk[] = []
  for (const { diskId, targetDev, path, sizeBytes } of backup.disks) {
    const volume = `${prefix}-${targetDev}`
    const content = { type: 'copy', source: { type: 'file', path, format: 'qcow2' } } as const
    const phase = `copy of ${diskId}`
    ctx.progress({ phase, bytesTotal: sizeBytes })
    const space = await deps.pools.reserve(poolId, sizeBytes, ctx, `restore of VM ${vmId}`)
    try {
      if (!names.includes(volume)) {
        names.push(volume)
        await ctx.save({ volumes: names })
      }
      // Of an owner that no other operation has: a volume of that name that is not its own is a VOLUME_CONFLICT.
      const { source } = await backend.createVolume(
        { name: volume, format, sizeBytes, content, owner: ownerOf(ctx) },
        ctx,
        { onCopy: ({ bytesDone, bytesTotal }) => ctx.progress({ phase, bytesDone, bytesTotal }) },
      )
      afterStep?.('restored')
      made.push({ diskId, poolId, volume, path: placeOf(source), sizeBytes })
      const [kept, restored] = [
        { place: path, format: 'qcow2' as const },
        { place: imagePlace(source), format },
      ]
      if (!(await holdSameBytes(kept, restored, COMPARE_TIMEOUT_MS, ctx)))
        throw damaged(`volume ${quote(volume)} does not hold what disk ${diskId} of backup ${quote(name)} does`)
    } catch (error) {
      if (isAgentError(error, 'VOLUME_CONFLICT')) names.splice(names.indexOf(volume), 1)
      throw error
    } finally {
      space.release()
    }
  }
  return made
}

async function removeOwn(
  { poolId }: RestoreRequest,
  { volumes }: RestoreParts,
  names: readonly string[],
  ctx: OperationContext<RestoreJournal>,
): Promise<void> {
  const own = { ...ctx, signal: AbortSignal.timeout(UNDO_WAIT_MS) }
  for (const volume of names)
    await volumes.delete(poolId, volume, own, ownerOf(ctx)).catch((failure: unknown) => {
      ctx.log.error({ volume, err: errorText(failure) }, 'a volume of a failed restore could not be deleted')
    })
}

function ownerOf({ id }: OperationContext<RestoreJournal>): string {
  return `restore:${id}`
}

function damaged(text: string): AgentError {
  return new AgentError('BACKUP_DAMAGED', text)
}
