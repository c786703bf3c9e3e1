import { rm } from 'node:fs/promises'
import type { OpContext } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { isUuid } from '../core/ids.ts'
import { placeOf } from '../core/model.ts'
import { VIR_DOMAIN_UNDEFINE, VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import type { RemoteNonnullDomain } from '../libvirt/wire/remote-types.gen.ts'
import type { LeasedDisk } from '../storage/guest-lease.ts'
import type { ActivePool } from '../storage/pool-access.ts'
import type { DomainDeps } from './deps.ts'
import { vmError } from './libvirt-errors.ts'
import { leasedDisk } from './vm-lease.ts'
import { vmDirectory, vmOwner } from './names.ts'

/** A volume made for a VM, as journals keep it. */
export interface VolumeRef {
  readonly poolId: string
  readonly name: string
}

const DESTROY_TIMEOUT_MS = 60_000
const UNDEFINE_TIMEOUT_MS = 60_000
/** NVRAM and snapshot metadata would otherwise keep libvirt from undefining, or stay behind. So would saved memory. */
const UNDEFINE_FLAGS =
  VIR_DOMAIN_UNDEFINE.SNAPSHOTS_METADATA | VIR_DOMAIN_UNDEFINE.CHECKPOINTS_METADATA | VIR_DOMAIN_UNDEFINE.NVRAM

/** Powers a domain off (if it runs) and removes its definition with all that libvirt keeps for it. Success when it is gone. Errors: LIBVIRT_*. */
export async function removeDomain(
  deps: Pick<DomainDeps, 'libvirt'>,
  dom: RemoteNonnullDomain,
  vmId: string,
  signal: AbortSignal,
): Promise<void> {
  try {
    await deps.libvirt.call('remote:DOMAIN_DESTROY_FLAGS', { dom, flags: 0 }, { timeoutMs: DESTROY_TIMEOUT_MS, signal })
  } catch (error) {
    // Off is what we want; a transient domain is gone with its guest.
    if (!isLibvirtError(error, VIR_ERR.OPERATION_INVALID, VIR_ERR.NO_DOMAIN)) throw vmError(error, vmId)
  }
  await undefineDomain(deps, dom, vmId, signal, { saved: 'drop' })
}

/** Removes the definition of a domain with all that libvirt keeps for it, and ends no guest: one that runs goes on without. Memory that was saved is dropped, or is in the way: libvirt refuses. Success when it is gone. Errors: LIBVIRT_*. */
export async function undefineDomain(
  deps: Pick<DomainDeps, 'libvirt'>,
  dom: RemoteNonnullDomain,
  vmId: string,
  signal: AbortSignal,
  { saved }: { readonly saved: 'drop' | 'keep' },
): Promise<void> {
  const flags = saved === 'drop' ? UNDEFINE_FLAGS | VIR_DOMAIN_UNDEFINE.MANAGED_SAVE : UNDEFINE_FLAGS
  try {
    await deps.libvirt.call('remote:DOMAIN_UNDEFINE_FLAGS', { dom, flags }, { timeoutMs: UNDEFINE_TIMEOUT_MS, signal })
  } catch (error) {
    if (!isLibvirtError(error, VIR_ERR.NO_DOMAIN)) throw vmError(error, vmId)
  }
}

/**
 * Deletes volumes that were made for the VM, and only those: storage checks the owner. While another host has the VM, and one of them is in use there, all in pools of both hosts are kept: VM_RUNS_ELSEWHERE. With `unlessUsedBy`, one that another domain (`others`), or the VM itself too (`anyone`), has attached, or stands on, is
 * kept: VOLUME_IN_USE, and LIBVIRT_UNAVAILABLE when that cannot be told. All are tried; the first failure is thrown at the end.
 */
export async function deleteOwnVolumes(
  deps: Pick<DomainDeps, 'pools' | 'leases'>,
  volumes: readonly VolumeRef[],
  vmId: string,
  ctx: OpContext,
  unlessUsedBy?: 'others' | 'anyone',
): Promise<void> {
  const failures: unknown[] = []
  const held = await refuseElsewhere(deps, volumes, vmId, ctx).catch((error: unknown) => ({ error }))
  for (const { poolId, name } of volumes) {
    try {
      const pool = await deps.pools.require(poolId, ctx)
      if (held !== undefined && deps.leases?.isLeased(pool) === true) throw held.error
      if (unlessUsedBy !== undefined) {
        const exempt = unlessUsedBy === 'others' ? vmOwner(vmId) : undefined
        await refuseUsed(deps, pool, { name, vmId, exempt }, ctx)
      }
      await pool.backend.deleteVolume(name, ctx, vmOwner(vmId))
    } catch (error) {
      ctx.log.error({ vm: vmId, pool: poolId, volume: name, err: errorText(error) }, 'could not delete a disk')
      failures.push(error)
    }
  }
  if (failures.length > 0) throw failures[0]
}

// The same VM may have been made on two hosts, on the same disks. Of a disk with snapshots its guest writes to the topmost file alone, and reads all of them.
async function refuseElsewhere(
  { leases, pools }: Pick<DomainDeps, 'pools' | 'leases'>,
  volumes: readonly VolumeRef[],
  vmId: string,
  ctx: OpContext,
): Promise<undefined> {
  if (leases === undefined) return
  const disks: LeasedDisk[] = []
  for (const { poolId, name } of volumes) {
    // Nothing is deleted in a pool that does not answer; the others do not wait for it.
    const pool = await pools.require(poolId, ctx).catch(() => undefined)
    if (pool === undefined || !leases.isLeased(pool)) continue
    const source = (await pool.backend.getVolume(name, ctx))?.source
    if (source !== undefined) disks.push(leasedDisk(name, source))
  }
  if (disks.length > 0) await leases.refuseElsewhere({ vmId, disks }, ctx)
}

async function refuseUsed(
  { pools }: Pick<DomainDeps, 'pools'>,
  pool: ActivePool,
  { name, vmId, exempt }: { readonly name: string; readonly vmId: string; readonly exempt: string | undefined },
  ctx: OpContext,
): Promise<void> {
  const source = (await pool.backend.getVolume(name, ctx))?.source
  if (source === undefined) return
  const place = placeOf(source)
  const users = (await pools.users(pool, ctx)).filter(
    ({ path, owner }) => path === place && (exempt === undefined || owner !== exempt),
  )
  if (users.length === 0) return
  const names = [...new Set(users.map((user) => user.name))].join(', ')
  throw new AgentError('VOLUME_IN_USE', `volume ${name} of VM ${vmId} is kept: it is used by ${names}`)
}

/** Removes the VM's own directory (seed, console log) below the state directory. */
export async function removeVmDirectory(deps: Pick<DomainDeps, 'config'>, vmId: string): Promise<void> {
  // The id is a path component of a recursive removal: look once more.
  if (!isUuid(vmId)) throw new AgentError('INTERNAL', 'the id of a VM to remove is not a UUID')
  await rm(vmDirectory(deps.config.stateDir, vmId), { recursive: true, force: true })
}
