import type { OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import type { DiskSource } from '../../core/model.ts'
import { readHalves } from '../domain-halves.ts'
import { hasSavedState } from '../saved-state.ts'
import { leasedDisk } from '../vm-lease.ts'
import type { MoveParts, MoveRequest } from './move-request.ts'

/**
 * Gives the lease of a VM back in the pool of a place that its disk is or was at, unless it needs that: one that runs has leases where it has disks, one that is off has none, except where its saved memory goes on. Never throws: what stays is in the log.
 */
export async function leaveLease(
  { vmId, diskId: id }: Pick<MoveRequest, 'vmId' | 'diskId'>,
  source: DiskSource,
  { deps, client }: MoveParts,
  ctx: OpContext,
): Promise<void> {
  const given = leasedDisk(id, source)
  const pool = deps.pools.findByPlace(given.place, given.monitors)
  if (deps.leases === undefined || pool === undefined) return
  const { poolId } = pool.config
  try {
    const { live, config } = await readHalves(client, vmId, ctx.signal)
    const needs = live !== undefined || (await hasSavedState(client, vmId, ctx.signal))
    const disks = needs ? [config, ...(live === undefined ? [] : [live])].flatMap(({ facts }) => facts.disks) : []
    if (disks.some((disk) => deps.pools.findByPlace(disk.place, disk.monitors)?.config.poolId === poolId)) return
    await deps.leases.leave({ vmId, disks: [given] }, ctx)
  } catch (error) {
    ctx.log.warn({ vm: vmId, pool: poolId, err: errorText(error) }, 'a lease stays in a pool that the VM has left')
  }
}
