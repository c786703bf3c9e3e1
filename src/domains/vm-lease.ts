import type { OpContext } from '../core/context.ts'
import { placeOf, type DiskSource } from '../core/model.ts'
import { monitorText } from '../storage/ceph-client.ts'
import type { LeasedDisk } from '../storage/guest-lease.ts'
import type { ActivePool } from '../storage/pool-access.ts'
import type { DomainFacts } from './domain-info.ts'

/** What of a VM decides where its leases are: its disks. */
export interface LeasedVm extends Pick<DomainFacts, 'vmId'> {
  readonly disks: readonly LeasedDisk[]
}

/** A disk that is, or is going to be, at a place which no definition tells. */
export function leasedDisk(id: string, source: DiskSource): LeasedDisk {
  const monitors = source.type === 'network' ? { monitors: source.monitors.map(monitorText) } : {}
  return { id, place: placeOf(source), format: source.format, readonly: false, ...monitors }
}

/** How a lease is claimed. */
export interface ClaimHow {
  /** An admin says that the other host does not run the VM. */
  readonly takeOver: boolean
  /** The VM has a QEMU on this host, which is not taken for a stranger. */
  readonly runsHere?: boolean
  /** Its QEMU may end under the work that the leases are for. */
  readonly mayEnd?: boolean
}

/** What those that start and delete VMs need of the leases on them; what each does is told in vm-leases.ts. */
export interface LeaseKeeper {
  claim(vm: LeasedVm, how: ClaimHow, ctx: OpContext): Promise<{ undo(): Promise<void> }>
  keepSaved(vm: LeasedVm, ctx: OpContext): Promise<void>
  isLeased(pool: ActivePool): boolean
  refuseElsewhere(vm: LeasedVm, ctx: OpContext): Promise<void>
  forget(vm: LeasedVm, ctx: OpContext): Promise<void>
  leave(vm: LeasedVm, ctx: OpContext): Promise<void>
  keepFree(vm: LeasedVm, ctx: OpContext): Promise<void>
  handOver(vm: LeasedVm, ctx: OpContext): Promise<void>
}
