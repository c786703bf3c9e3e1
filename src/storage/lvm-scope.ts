import type { OpContext } from '../core/context.ts'
import type { Lvm } from './lvm.ts'
import type { VolumeGroup } from './lvm-report.ts'

/** What the parts that work on the volumes of one pool share. */
export interface LvmScope {
  readonly lvm: Lvm
  readonly poolId: string
  readonly nodeId: string
  readonly volumeGroup: string
  readonly thinPool: string
  /** The volume group of the active pool as it is now; POOL_UNAVAILABLE while it is not active, and why it is not there. */
  readonly group: (ctx: OpContext) => Promise<VolumeGroup>
}
