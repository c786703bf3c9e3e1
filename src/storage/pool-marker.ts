import type { PoolKind } from '../core/model.ts'
import { isBoolean, isFilled, isOneOf, isShape, parseShape } from '../core/shape.ts'

/** File in the root of every file pool that proves which pool it is. */
export const MARKER_FILE = '.limiquantix-pool.json'
/** Directory in the root of every file pool with the agent's records; never shown to callers. */
export const RECORDS_DIRECTORY = '.limiquantix'
/** Within it, in pools that several hosts have: which host runs a guest. */
export const LEASES_DIRECTORY = 'leases'
/** Within it: what the backups in the pool are, one file each. */
export const BACKUPS_DIRECTORY = 'backups'

const KINDS = ['LOCAL_DIR', 'LOCAL_LVM', 'NFS', 'CEPH_RBD', 'CEPH_FS', 'ISCSI'] as const satisfies readonly PoolKind[]

/** Content of the marker file. */
export interface PoolMarker {
  readonly version: 1
  readonly poolId: string
  /** New for every initialisation, so that an older copy of the same pool is not taken for it. */
  readonly generation: string
  readonly kind: PoolKind
  /** True when the agent made the directory, so that it may remove it again once it is empty. */
  readonly madeDirectory: boolean
}

const isMarker = isShape<PoolMarker>({
  version: isOneOf([1]),
  poolId: isFilled,
  generation: isFilled,
  kind: isOneOf(KINDS),
  madeDirectory: isBoolean,
})

/** The marker in `text`, or undefined when it is not one. */
export function parseMarker(text: string): PoolMarker | undefined {
  return parseShape(text, isMarker)
}
