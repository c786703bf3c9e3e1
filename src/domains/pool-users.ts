import { isInside } from '../platform/files.ts'
import type { PoolUserSource } from '../storage/pool-access.ts'
import type { DomainInventory } from './inventory.ts'
import { vmOwner } from './names.ts'

/** Names the domains, running or not, ours or foreign, whose disks, backing images or ISOs are in a pool. Throws LIBVIRT_UNAVAILABLE when it cannot be told. */
export function domainPoolUsers(inventory: DomainInventory): PoolUserSource {
  return async (pool) => {
    const root = pool.backend.mountPath
    return inventory.entries().flatMap(({ facts, readable }) => {
      const vm = `VM ${facts.name} (${facts.vmId})`
      const owner = vmOwner(facts.vmId)
      // Who cannot be asked counts as a user.
      if (!readable) return [{ name: `${vm}, whose definition cannot be read`, owner }]
      return facts.paths
        .filter((path) => root !== '' && isInside(root, path))
        .map((path) => ({ name: vm, owner, path }))
    })
  }
}
