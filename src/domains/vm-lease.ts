import type { OpContext } from '../core/context.ts'
import type { ActivePool } from '../storage/pool-access.ts'
import type { DomainDisk, DomainFacts } from './domain-info.ts'

/** What of a VM decides where its leases are: its disks. */
export interface LeasedVm extends Pick<DomainFacts, 'vmId'> {
  readonly disks: readonly LeasedDisk[]
}

/** What of a disk tells whether somebody writes to it. */
export type LeasedDisk = Pick<DomainDisk, 'id' | 'place' | 'format' | 'readonly'>

/** What those that start and delete VMs need of the leases on them; what each does is told in vm-leases.ts. */
export interface LeaseKeeper {
  claim(vm: LeasedVm, how: { readonly takeOver: boolean }, ctx: OpContext): Promise<{ undo(): Promise<void> }>
  keepSaved(vm: LeasedVm, ctx: OpContext): Promise<void>
  isLeased(pool: ActivePool): boolean
  refuseElsewhere(vmId: string, pool: ActivePool, disk: LeasedDisk, ctx: OpContext): Promise<void>
  forget(vm: LeasedVm, ctx: OpContext): Promise<void>
  leave(vm: LeasedVm, ctx: OpContext): Promise<void>
  keepFree(vm: LeasedVm, ctx: OpContext): Promise<void>
  handOver(vm: LeasedVm, ctx: OpContext): Promise<void>
}
