import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { VIR_ERR } from '../../libvirt/constants.ts'
import { isLibvirtError } from '../../libvirt/errors.ts'
import type { DomainHalves } from '../domain-halves.ts'
import type { DomainDisk } from '../domain-info.ts'
import { domainRef } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { vmOwner } from '../names.ts'
import { otherHolders } from '../pool-users.ts'
import { readSnapshots } from '../read-snapshots.ts'
import { hasSavedState } from '../saved-state.ts'
import type { VolumeRef } from '../vm-remains.ts'
import { otherJob } from './mirror.ts'
import { diskAt, type MoveParts, type MoveRequest } from './move-request.ts'

const TIMEOUT_MS = 30_000

/** Throws what is in the way of a move: DISK_MOVE_REFUSED, VM_STATE_CONFLICT, VOLUME_IN_USE. Errors: POOL_*, LIBVIRT_*. */
export async function refuseBlocked(
  { vmId, dropCheckpoints }: MoveRequest,
  disk: DomainDisk,
  { live, config }: DomainHalves,
  parts: MoveParts,
  ctx: OpContext,
): Promise<void> {
  const { deps, client } = parts
  const refused = (why: string) => new AgentError('DISK_MOVE_REFUSED', `disk ${disk.id} of VM ${vmId}: ${why}`)
  if (live !== undefined) {
    if (diskAt(live, disk.targetDev)?.place !== disk.place)
      throw refused('the running guest has another one than the definition for its next start; power the VM off first')
    if (disk.readonly)
      throw refused('QEMU does not copy a read-only disk under a running guest; power the VM off first')
    if (await isBackedUp(vmId, client, ctx))
      throw new AgentError('VM_STATE_CONFLICT', `VM ${vmId} is being backed up; wait for that, then repeat the move`)
    await refuseJob(vmId, disk.targetDev, client, ctx)
  } else if (await hasSavedState(client, vmId, ctx.signal)) {
    throw new AgentError(
      'VM_STATE_CONFLICT',
      `VM ${vmId} has saved memory, which goes on with its disks where they are; start it, or drop what is saved, then repeat the move`,
    )
  }
  const snapshots = await readSnapshots(vmId, { client }, ctx.signal)
  if (snapshots.length > 0) {
    const names = snapshots.map(({ id }) => quote(id)).join(', ')
    throw refused(`snapshots ${names} stand on its files, and would not move along; delete them first`)
  }
  if (config.facts.layers.some((layer) => layer.disk === disk.id))
    throw refused('it has overlays of snapshots that are not merged yet; delete a snapshot that is gone once more')
  await refuseKept(disk, parts, refused, ctx)
  const holders = await otherHolders(disk.place, vmId, deps.domains)
  if (holders.length === 0) holders.push(...((await deps.overlays?.ofOthers(disk.place, vmOwner(vmId), ctx)) ?? []))
  if (holders.length > 0) {
    throw new AgentError(
      'VOLUME_IN_USE',
      `disk ${disk.id} of VM ${vmId} stays where it is: ${holders.join(', ')} uses it or stands on it`,
    )
  }
  const checkpoints = dropCheckpoints ? [] : await listCheckpoints(vmId, client, ctx)
  if (checkpoints.length > 0) {
    throw refused(
      `incremental backups know by checkpoint ${checkpoints.map(quote).join(', ')} what changed, which does not move along; ask for dropCheckpoints, and the next backup holds everything`,
    )
  }
}

/** Names of libvirt's checkpoints of a VM. Errors: LIBVIRT_*. */
export async function listCheckpoints(
  vmId: string,
  client: MoveParts['client'],
  { signal }: Pick<OpContext, 'signal'>,
): Promise<string[]> {
  const args = { dom: domainRef(vmId), need_results: 1, flags: 0 }
  const { checkpoints } = await client
    .call('remote:DOMAIN_LIST_ALL_CHECKPOINTS', args, { timeoutMs: TIMEOUT_MS, signal })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  return checkpoints.map(({ name }) => name)
}

/** Snapshots of the volume itself, which would be deleted with it: throws `refused` naming them. Errors: POOL_*. */
export async function refuseKept(
  { volume, poolId }: Pick<DomainDisk, 'volume' | 'poolId'>,
  { deps }: MoveParts,
  refused: (why: string) => AgentError,
  ctx: OpContext,
): Promise<void> {
  if (volume === '') return
  const kept = await snapshotsOf({ poolId, name: volume }, deps, ctx)
  if (kept.length === 0) return
  throw refused(
    `its volume ${volume} in pool ${poolId} has snapshots (${kept.map(quote).join(', ')}), which would not move along; delete them first`,
  )
}

/** Names of the snapshots that a pool keeps of a volume; none of one that is gone. Errors: POOL_*. */
export async function snapshotsOf(
  { poolId, name }: VolumeRef,
  { pools }: Pick<MoveParts['deps'], 'pools'>,
  ctx: OpContext,
): Promise<string[]> {
  const { backend } = await pools.require(poolId, ctx)
  if ((await backend.getVolume(name, ctx)) === undefined) return []
  return ((await backend.snapshots?.list(name, ctx)) ?? []).map((snapshot) => snapshot.name)
}

// QEMU has one job per disk.
async function refuseJob(vmId: string, target: string, client: MoveParts['client'], ctx: OpContext): Promise<void> {
  const args = { dom: domainRef(vmId), path: target, flags: 0 }
  const job = await client
    .call('remote:DOMAIN_GET_BLOCK_JOB_INFO', args, { timeoutMs: TIMEOUT_MS, signal: ctx.signal })
    .catch((error: unknown) => Promise.reject(vmError(error, vmId)))
  if (job.found !== 0) throw otherJob(vmId, target, job.type)
}

async function isBackedUp(vmId: string, client: MoveParts['client'], { signal }: OpContext): Promise<boolean> {
  try {
    const args = { dom: domainRef(vmId), flags: 0 }
    await client.call('remote:DOMAIN_BACKUP_GET_XML_DESC', args, { timeoutMs: TIMEOUT_MS, signal })
    return true
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN_BACKUP, VIR_ERR.OPERATION_INVALID)) return false
    throw vmError(error, vmId)
  }
}
