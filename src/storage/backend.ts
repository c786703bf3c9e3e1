import type { OpContext } from '../core/context.ts'
import type {
  DiskFormat,
  DiskSource,
  PoolConfig,
  PoolKind,
  PoolObservation,
  Volume,
  VolumeSnapshot,
} from '../core/model.ts'
import type { ConfinementKind } from '../platform/confinement.ts'
import type { MountEntry } from '../platform/mounts.ts'
import type { LeasePlace } from './guest-lease.ts'
import type { PoolGuard } from './pool-guard.ts'
import type { PoolMarker } from './pool-marker.ts'

/** What one probe saw, before the hysteresis that health.ts applies. */
export type ProbeResult = PoolObservation

/** Where the content of a new volume comes from. Paths are absolute on this host and have been checked by the caller. */
export type VolumeContent =
  | { readonly type: 'empty' }
  /** A qcow2 overlay on `path`, whose format is stated, never guessed. File pools only. */
  | { readonly type: 'overlay'; readonly path: string; readonly format: DiskFormat }
  /** A full copy of an image or volume, wherever it is. */
  | { readonly type: 'copy'; readonly source: DiskSource }
  /**
   * The same bytes as another volume of this pool, now or at its snapshot; independent of it for whoever uses it, and made the cheapest way the pool has. A larger
   * size grows the clone. VOLUME_NOT_FOUND, SNAPSHOT_NOT_FOUND, VOLUME_TOO_SMALL for less than the source has.
   */
  | { readonly type: 'clone'; readonly volume: string; readonly snapshot?: string }

export interface VolumeSpec {
  /** Pool-relative name: components of `[A-Za-z0-9_.-]` joined by `/`, without a format suffix. */
  readonly name: string
  readonly format: DiskFormat
  readonly sizeBytes: number
  readonly content: VolumeContent
  /** Who the volume is made for, kept with it so that a repeated or undone request knows its own: `vm:<id>`. */
  readonly owner: string
}

/** How far the content of a new volume is copied, in bytes of what a guest sees, and how the tool is confined that copies it. */
export interface CopyReport {
  readonly bytesDone: number
  readonly bytesTotal: number
  readonly confinement: ConfinementKind
}

/** What whoever asks for a copy of image data wants besides the copy. */
export interface CopyOptions {
  /** Hears how far it is. */
  readonly onCopy?: (report: CopyReport) => void
  /** How long it may be silent; by default half an hour, or more for huge images (defaultStallTimeoutMs). */
  readonly stallTimeoutMs?: number
}

/** What the maker of a volume wants besides the volume: also of the copy of its content, when there is one. */
export interface CreateOptions extends CopyOptions {
  /**
   * Text that becomes `note` of the volume in one step with the volume itself, and goes with it, in pools that hosts share without files; pools of one host keep none. No secrets, at most some KiB. A clone of the volume has none.
   */
  readonly note?: string
  /** The base of an overlay was looked at in the same work, and nobody writes to it: it need not be asked for what checkOrigin refuses. */
  readonly inspected?: boolean
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
  /** What `resume` is to be given later, of a pool without a guard that tells its initialisations apart. */
  readonly generation?: string
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
  /**
   * The same spec again returns the same volume, whatever became of its content's source; another one under the name is VOLUME_CONFLICT; a format that is not of
   * `traits.formats` is INVALID_REQUEST; nothing is left behind on failure or abort.
   */
  createVolume(spec: VolumeSpec, ctx: OpContext, options?: CreateOptions): Promise<Volume>
  /**
   * Success when it is gone. With `owner`, only a volume made for that owner, or one beneath it (`<owner>:…`), is deleted and anything else is left alone without an error. Its snapshots go with it.
   * VOLUME_IN_USE while other volumes need it (overlays, or clones where the pool has them share bytes); a clone that does not lives on.
   */
  deleteVolume(name: string, ctx: OpContext, owner?: string): Promise<'deleted' | 'already-deleted'>
  /** VOLUME_NOT_FOUND when it is not there. */
  diskSource(name: string, ctx: OpContext): Promise<DiskSource>
  /** True when a volume of this pool, there or not, would be at `place` (placeOf). `monitors` (`host:port`) tell of which Ceph cluster the place is; without, all clusters count. Pure. */
  holds(place: string, monitors?: readonly string[]): boolean
  /** Grows the volume; VOLUME_TOO_SMALL for less than it has. */
  readonly resize?: (name: string, sizeBytes: number, ctx: OpContext) => Promise<Volume>
  readonly snapshots?: VolumeSnapshots
  readonly layers?: VolumeLayers
  /** Leases on guests that the storage itself keeps; those of pools of files are in these. */
  readonly leases?: LeasePlace
}

/** A file that an overlay stands on. */
export interface LayerBase {
  readonly path: string
  readonly format: DiskFormat
}

/** Overlays that a VM's disk grows over itself, for pools of files. Nobody has what is changed open: the caller sees to that. VOLUME_NOT_FOUND. */
export interface VolumeLayers {
  /** Absolute path of overlay `volume`, there or not. Pure. */
  path(volume: string): string
  /** Writes what overlay `volume` holds into the file right below it, which grows with it; the overlay stays as it is. POOL_FULL, DISK_CHAIN_BROKEN when it stands on another one; a failure leaves the overlay as good as before, but its base only below it. */
  commit(volume: string, base: LayerBase, ctx: OpContext): Promise<void>
  /** Puts overlay `volume` on another file with the same content, and records that; no data move. The same again changes nothing. */
  putOn(volume: string, base: LayerBase, ctx: OpContext): Promise<void>
}

/** Snapshots of the volumes of a pool, for pools that can. Nobody writes to the volume meanwhile: the volume manager sees to that. */
export interface VolumeSnapshots {
  /** The same name again is the same snapshot. INVALID_NAME (parseSnapshotName), VOLUME_NOT_FOUND, SNAPSHOT_UNSUPPORTED where the volume's format has none. */
  create(volume: string, snapshot: string, ctx: OpContext): Promise<VolumeSnapshot>
  /** Oldest first. VOLUME_NOT_FOUND. */
  list(volume: string, ctx: OpContext): Promise<VolumeSnapshot[]>
  /** Success when it is gone, with its volume too. SNAPSHOT_IN_USE while a clone needs it; a clone that does not lives on. */
  delete(volume: string, snapshot: string, ctx: OpContext): Promise<'deleted' | 'already-deleted'>
}

/** What the host offers a backend that looks for a lost pool. */
export interface DiscoveryFacts {
  /** Ends with the search. */
  readonly ctx: OpContext
  /** All mounts but those of known pools. */
  readonly mounts: readonly MountEntry[]
  /** Places (placeOf) of the disks and media of the domains on this host, outside of the directories of known pools. Empty while libvirt cannot be asked. */
  readonly guestPlaces: readonly string[]
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
