import type { CreateVmRequest } from '../core/model.ts'
import { isInside } from '../platform/files.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal } from '../operations/operation.ts'
import type { PoolUserSource } from '../storage/pool-access.ts'
import { CREATE_KIND } from './create.ts'
import type { CreateParams } from './create-steps.ts'
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

/** Names the VMs that are being created with something in a pool: until they are defined no domain shows it. */
export function creationPoolUsers(operations: OperationManager, defaultPoolId: string): PoolUserSource {
  return (pool) => {
    const { poolId } = pool.config
    const root = pool.backend.mountPath
    const uses = ({ spec }: CreateVmRequest) =>
      spec.disks.some((disk) => (disk.poolId === '' ? defaultPoolId : disk.poolId) === poolId) ||
      [
        ...spec.disks.flatMap((disk) => [disk.path, disk.backingFile]),
        ...spec.cdroms.map((cdrom) => cdrom.isoPath),
      ].some((path) => root !== '' && path.startsWith('/') && isInside(root, path))
    const creations = operations.list(CREATE_KIND).filter(({ state }) => !isFinal(state))
    const requests = creations.map(({ params }) => (params as CreateParams).request).filter(uses)
    return Promise.resolve(requests.map(({ vmId, name }) => ({ name: `the creation of VM ${name} (${vmId})` })))
  }
}
