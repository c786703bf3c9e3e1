import type { OpContext } from '../core/context.ts'
import type { DiskFormat, DiskSource, PoolConfig, PoolKind, PoolObservation, Volume } from '../core/model.ts'
import type { MountEntry } from '../platform/mounts.ts'
import type { PoolGuard } from './pool-guard.ts'
import type { PoolMarker } from './pool-marker.ts'

/** What one probe saw, before the hysteresis that health.ts applies. */
export type ProbeResult = PoolObservation

/** Where the content of a new volume comes from. Paths are absolute on this host and have been checked by the caller. */
export type VolumeContent =
  | { readonly type: 'empty' }
  /** A qcow2 overlay on `path`, whose format is stated, never guessed. File pools only. */
  | { readonly type: 'overlay'; readonly path: string; readonly format: DiskFormat }
  /** A full copy of another volume or image. */
  | { readonly type: 'copy'; readonly path: string; readonly format: DiskFormat }

export interface VolumeSpec {
  /** Pool-relative name: components of `[A-Za-z0-9_.-]` joined by `/`, without a format suffix. */
  readonly name: string
  readonly format: DiskFormat
  readonly sizeBytes: number
  readonly content: VolumeContent
  /** Who the volume is made for, kept with it so that a repeated or undone request knows its own: `vm:<id>`. */
  readonly owner: string
}

/** Facts about a backend that generic code acts on; data instead of branching. */
export interface PoolTraits {
  /** Seen by several hosts. */
  readonly shared: boolean
  readonly access: 'file' | 'block' | 'network'
  readonly formats: readonly DiskFormat[]
  /** Pool I/O of `own` kinds runs in a helper process per pool, because the file system can hang; `common` ones share a helper. */
  readonly isolation: 'own' | 'common'
}

/**
 * Why a pool is activated. `initialise`: the first time, what is missing is made. `resume`: it has been here before, so a missing directory, marker or source is
 * an error; `generation` is the one recorded then.
 */
export type ActivationRequest =
  { readonly mode: 'initialise' } | { readonly mode: 'resume'; readonly generation?: string }

export interface Activation {
  readonly outcome: 'activated' | 'already-active'
  /** Identity of a file pool as of now. */
  readonly guard?: PoolGuard
}

/**
 * One storage pool of one type. Thin: generic work (locks, undo, persistence, health hysteresis, users) is in the pool and volume managers. All file access
 * goes through the storage worker; commands through platform/exec. Every method is idempotent and ends soon after `ctx.signal` fires.
 */
export interface PoolBackend {
  readonly kind: PoolKind
  readonly traits: PoolTraits
  /** With `options` validated and defaults filled in, so that two equal requests compare equal. */
  readonly config: PoolConfig
  /** Root directory for file pools, else ''. Pure: the one owner of the path rule of its type. */
  readonly mountPath: string
  /** Block device or volume group of a block pool, for people. */
  readonly devicePath?: string
  /** RBD pool of a network pool, for people. */
  readonly rbdPool?: string
  /** Makes the pool usable. A foreign source or identity in its place is an error, never taken over; what a failed activation made is removed. */
  activate(request: ActivationRequest, ctx: OpContext): Promise<Activation>
  /** Takes the pool out of use. Data stays. */
  deactivate(ctx: OpContext): Promise<'deactivated' | 'already-inactive'>
  /** Before the last deactivation of a pool that is being destroyed: removes the agent's own traces from its storage. Data stays. */
  readonly retire?: (ctx: OpContext) => Promise<void>
  /** Never throws for an unreachable pool: it says so. */
  probe(ctx: OpContext): Promise<ProbeResult>
  listVolumes(ctx: OpContext): Promise<Volume[]>
  getVolume(name: string, ctx: OpContext): Promise<Volume | undefined>
  /** The same spec again returns the same volume; another one under the name is VOLUME_CONFLICT; nothing is left behind on failure or abort. */
  createVolume(spec: VolumeSpec, ctx: OpContext): Promise<Volume>
  /** Success when it is gone. With `owner`, only a volume made for that owner is deleted and anything else is left alone without an error. */
  deleteVolume(name: string, ctx: OpContext, owner?: string): Promise<'deleted' | 'already-deleted'>
  /** VOLUME_NOT_FOUND when it is not there. */
  diskSource(name: string, ctx: OpContext): Promise<DiskSource>
  /** Grows the volume; VOLUME_TOO_SMALL for less than it has. */
  readonly resize?: (name: string, sizeBytes: number, ctx: OpContext) => Promise<Volume>
}

/** What the host offers a backend that looks for a lost pool. */
export interface DiscoveryFacts {
  /** All mounts but those of known pools. */
  readonly mounts: readonly MountEntry[]
  /** The pool marker in `directory`, or undefined; never hangs for longer than a probe, and a dead directory delays no other. */
  readMarker(directory: string): Promise<PoolMarker | undefined>
}

/** A pool that was found on the host without a record of it. */
export interface DiscoveredPool {
  readonly config: PoolConfig
  /** False when its place proves it but it has no marker yet, so that the first activation writes one. */
  readonly marked: boolean
}

/** How a pool type enters the agent: one entry in the registry. */
export interface PoolBackendFactory {
  readonly kind: PoolKind
  readonly traits: PoolTraits
  /** Validates `config.options` (POOL_CONFIG_INVALID names the field) and builds the backend; no I/O. */
  create(config: PoolConfig): PoolBackend
  /** Finds pools the agent has no record of, from what is on the host: the one with `poolId`, or all that show. Only with proof of their identity. */
  readonly discover?: (facts: DiscoveryFacts, poolId: string | undefined) => Promise<DiscoveredPool[]>
}
