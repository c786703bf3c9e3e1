import type { Logger, OpContext } from '../core/context.ts'
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
  /** `<aliases>/<poolId>/images` stands for the root of any pool in paths the control plane makes up (contract 2.1.3: `/var/lib/limiquantix/pools`). */
  readonly aliases: string
  /** Private directory (0700) of this agent for files with secrets that tools need; on a local file system. */
  readonly secrets: string
  /** Directories no pool may be, contain or lie in: the agent's own state. */
  readonly reserved: readonly string[]
}

/** What is kept of a mount point the agent made, from before it makes it until it is removed. */
export interface MountPointRecord {
  readonly target: string
  /** Outermost directory that was made for it. */
  readonly outermost: string
}

/** What is kept of a pool's use of an iSCSI session, from before the agent logs in until the pool is out of use. May hold secrets of others. */
export interface IscsiSessionRecord {
  readonly target: string
  readonly portal: string
  /** The agent logged in, or was about to, during this boot of the host; `session` is the kernel's name for it, once there was one. */
  readonly made?: { readonly boot: string; readonly session?: string }
  /** Node records of open-iscsi that were removed for the agent's own, with their content. */
  readonly displaced?: readonly { readonly file: string; readonly text: string }[]
}

/** A secret that libvirt keeps for guests. Its value is in no XML, argument or log. */
export interface GuestSecret {
  /** Lower-case UUID by which domains name it. */
  readonly uuid: string
  readonly usage: 'ceph' | 'iscsi'
  /** Unique per usage; for people: `client.<user> secret for <poolId>`. */
  readonly name: string
  readonly value: Uint8Array
}

/** Secrets for guests, kept by libvirt. Errors: LIBVIRT_*. */
export interface GuestSecrets {
  /** Makes it known, or known with another value; the same again changes nothing. */
  put(secret: GuestSecret, ctx: OpContext): Promise<void>
  /** Success when it is gone. */
  remove(uuid: string, ctx: OpContext): Promise<void>
}

/** What every backend is built on. */
export interface StorageEnvironment {
  readonly io: StorageIo
  readonly mounter: Mounter
  /** Mount points this agent made, by pool id: only these are removed again. */
  readonly mountPoints: StateCollection<MountPointRecord>
  /** Use of iSCSI sessions by pool id. */
  readonly sessions: StateCollection<IscsiSessionRecord>
  readonly paths: StoragePaths
  readonly guestSecrets: GuestSecrets
  /** The agent's persistent id: tells its own unfinished work from that of other hosts on shared pools. */
  readonly nodeId: string
  readonly log: Logger
}
