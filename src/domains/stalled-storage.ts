import type { PoolInfo } from '../core/model.ts'
import type { DomainInventory } from './inventory.ts'

/** Ids of VMs with a disk in a pool that does not answer. To ask their QEMU for counters of disks would only add one more question that waits for the pool. */
export function vmsOnDeadPools(
  domains: Pick<DomainInventory, 'entries'>,
  pools: { list(): readonly PoolInfo[] },
): () => ReadonlySet<string> {
  return () => {
    const dead = new Set(
      pools.list().flatMap(({ config, observation }) => (observation.health === 'ERROR' ? [config.poolId] : [])),
    )
    if (dead.size === 0) return dead
    const onDead = domains.entries().filter(({ facts }) => facts.disks.some(({ poolId }) => dead.has(poolId)))
    return new Set(onDead.map(({ facts }) => facts.vmId))
  }
}
