import type { Logger } from '../core/context.ts'
import type { Mounter } from '../platform/mounter.ts'
import type { StateCollection } from '../platform/state-store.ts'
import type { StorageIo } from './storage-io.ts'

/** Directories of the agent that matter to storage; absolute, normalised. */
export interface StoragePaths {
  /** Parent of local pools without a configured path: `<localPools>/<poolId>` (contract 4.1: `/var/lib/limiquantix/images`). */
  readonly localPools: string
  /** Further parents where an earlier agent put `<poolId>` directories (contract 4.1). */
  readonly formerLocalPools: readonly string[]
  /** Parent of the mount points of pools that name none: `<mounts>/nfs-<poolId>` (contract 4.1: `/var/lib/limiquantix/mnt`). */
  readonly mounts: string
  /** Directories no pool may be, contain or lie in: the agent's own state. */
  readonly reserved: readonly string[]
}

/** What is kept of a mount point the agent made, from before it makes it until it is removed. */
export interface MountPointRecord {
  readonly target: string
  /** Outermost directory that was made for it. */
  readonly outermost: string
}

/** What every backend is built on. */
export interface StorageEnvironment {
  readonly io: StorageIo
  readonly mounter: Mounter
  /** Mount points this agent made, by pool id: only these are removed again. */
  readonly mountPoints: StateCollection<MountPointRecord>
  readonly paths: StoragePaths
  /** The agent's persistent id: tells its own unfinished work from that of other hosts on shared pools. */
  readonly nodeId: string
  readonly log: Logger
}
