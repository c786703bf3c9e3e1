import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { placeOf } from '../../core/model.ts'
import { hasWriter } from '../../storage/qemu-img.ts'
import type { DomainDeps } from '../deps.ts'
import type { BackupCatalog } from './backup-catalog.ts'
import { BACKUP_CHECKPOINT, backupOwner, type VmBackup } from './backup-record.ts'

/** What a deletion is about; kept in the journal. */
export interface DeletedBackup {
  readonly poolId: string
  /** Of the VM; empty = it has none. What is left of a damaged one may have one by its name. */
  readonly checkpoint: string
  /** When the one that is meant was made, ms since the epoch; absent = it is damaged. */
  readonly createdAt?: number
}

interface DeletionParts {
  readonly catalog: BackupCatalog
  readonly deps: DomainDeps
}

/** The backup called `name`, whole or damaged, that can be deleted; undefined when there is none. BACKUP_IN_USE while a later one needs it or QEMU writes to it, CONFLICT, POOL_*. */
export async function findDeletable(
  vmId: string,
  name: string,
  parts: DeletionParts,
  ctx: OpContext,
): Promise<DeletedBackup | undefined> {
  const { backups, damaged } = await parts.catalog.list(ctx, vmId, 'count')
  const [found, other] = [...backups, ...damaged].filter((each) => each.name === name)
  if (found === undefined) return undefined
  if (other !== undefined)
    throw new AgentError(
      'CONFLICT',
      `pools ${found.poolId} and ${other.poolId} both have a backup ${quote(name)} of VM ${vmId}; take one of the pools out of use meanwhile`,
    )
  return findDeletableIn(found.poolId, vmId, name, parts, ctx)
}

/**
 * What is there now of the backup that a deletion is about; undefined when that is gone, a backup made since in its place included. To be asked right before it is deleted: other hosts go on meanwhile, for as long as this agent was
 * down. Errors of `findDeletable`; BACKUP_IN_USE too when what was damaged is whole by now.
 */
export async function findStill(
  vmId: string,
  name: string,
  { poolId, createdAt }: DeletedBackup,
  parts: DeletionParts,
  ctx: OpContext,
): Promise<DeletedBackup | undefined> {
  const now = await findDeletableIn(poolId, vmId, name, parts, ctx)
  if (now?.createdAt === undefined || now.createdAt === createdAt) return now
  if (createdAt === undefined)
    throw new AgentError(
      'BACKUP_IN_USE',
      `backup ${quote(name)} of VM ${vmId} was finished meanwhile; delete it again if that is meant`,
    )
  ctx.log.warn({ vm: vmId, backup: name }, 'another backup has the name of one that was to be deleted; it stays')
  return undefined
}

// The pool has to be readable: what was remembered of it says nothing of what other hosts made since.
async function findDeletableIn(
  poolId: string,
  vmId: string,
  name: string,
  { catalog, deps }: DeletionParts,
  ctx: OpContext,
): Promise<DeletedBackup | undefined> {
  const pool = await deps.pools.require(poolId, ctx)
  const { backups, damaged } = await catalog.ofPool(pool, ctx, vmId, 'count')
  const whole = backups.find((each) => each.name === name)
  if (whole === undefined && damaged.every((each) => each.name !== name)) return undefined
  const isUnread = damaged.some((each) => each.name === name && each.passing === true)
  if (whole?.state === 'unseen' || isUnread)
    throw new AgentError(
      'POOL_IO_ERROR',
      `the manifest of backup ${quote(name)} of VM ${vmId} can be neither read nor written in pool ${poolId} now; see the log of the agent, and repeat it`,
    )
  refuseNeeded(vmId, name, backups)
  // What they stand on cannot be told.
  if (whole !== undefined && damaged.length > 0)
    throw inUse(
      `backup ${quote(name)} of VM ${vmId} may be needed by ${damaged.map((each) => quote(each.name)).join(', ')}, which cannot tell`,
    )
  if (whole !== undefined) return { poolId, checkpoint: whole.checkpoint, createdAt: whole.createdAt }
  await refuseWritten(poolId, vmId, name, { catalog, deps }, ctx)
  return { poolId, checkpoint: `${BACKUP_CHECKPOINT}${name}` }
}

/**
 * Deletes a backup: its manifest first, so that what is cut off is no backup any more. The same again goes on. BACKUP_IN_USE, and it is there again, when another host has just put one that needs it: each of the two looks after its
 * own step, so that one at least sees the other (`requireComplete`).
 */
export async function deleteBackup(
  vmId: string,
  name: string,
  poolId: string,
  { catalog, deps, afterStep }: DeletionParts & { readonly afterStep?: (name: string) => void },
  ctx: OpContext,
): Promise<void> {
  const pool = await deps.pools.require(poolId, ctx)
  const { backend } = pool
  const before = (await catalog.ofPool(pool, ctx, vmId)).backups.find((each) => each.name === name)
  await catalog.delete({ vmId, name, poolId }, ctx)
  afterStep?.('unlisted')
  if (before !== undefined) {
    const { state: _, ...whole } = before
    const { backups } = await catalog.ofPool(pool, ctx, vmId)
    try {
      refuseNeeded(vmId, name, backups)
    } catch (error) {
      await catalog.put(whole, ctx)
      throw error
    }
  }
  for (const volume of await catalog.volumes(poolId, vmId, name, ctx)) {
    await backend.deleteVolume(volume, ctx, backupOwner(vmId, name))
    afterStep?.('emptied')
  }
}

// One without a manifest may be on its way, on another host too.
async function refuseWritten(
  poolId: string,
  vmId: string,
  name: string,
  { catalog, deps }: DeletionParts,
  ctx: OpContext,
): Promise<void> {
  const { backend } = await deps.pools.require(poolId, ctx)
  for (const volume of await catalog.volumes(poolId, vmId, name, ctx)) {
    const made = await backend.getVolume(volume, ctx)
    if (made !== undefined && (await hasWriter(placeOf(made.source), 'qcow2', ctx)))
      throw new AgentError(
        'BACKUP_IN_USE',
        `backup ${quote(name)} of VM ${vmId} is being made: QEMU writes to ${volume}`,
      )
  }
}

function refuseNeeded(vmId: string, name: string, backups: readonly VmBackup[]): void {
  const needing = backups.filter(({ parent }) => parent === name)
  if (needing.length === 0) return
  throw inUse(
    `backup ${quote(name)} of VM ${vmId} is needed by ${needing.map((each) => quote(each.name)).join(', ')}, which hold only what changed since`,
  )
}

function inUse(text: string): AgentError {
  return new AgentError('BACKUP_IN_USE', `${text}; delete them first`)
}
