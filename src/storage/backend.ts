import type { OpContext } from '../core/context.ts'
import type { DiskFormat, DiskSource, PoolConfig, PoolKind, PoolObservation, Volume } from '../core/model.ts'

/** What a probe saw before hysteresis: `reachable` and identity are facts, health is derived by the pool manager. */
export interface ProbeResult extends PoolObservation {}

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
  /** Who the volume is made for, kept beside it so that a repeated or undone request knows its own: `vm:<id>`. */
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
 * One storage pool of one type. Thin: generic work (locks, undo, persistence, health hysteresis, naming rules) is in the pool and volume managers. All file
 * access goes through the storage worker; commands through platform/exec. Every method is idempotent and ends soon after `ctx.signal` fires.
 */
export interface PoolBackend {
  readonly kind: PoolKind
  readonly traits: PoolTraits
  readonly config: PoolConfig
  /** Root directory for file pools, else ''. Pure: the one owner of the path rule of its type. */
  readonly mountPath: string
  /** Makes the pool usable. A foreign source or identity in its place is an error, never taken over. */
  activate(ctx: OpContext): Promise<'activated' | 'already-active'>
  /** Takes the pool out of use. Data stays. */
  deactivate(ctx: OpContext): Promise<'deactivated' | 'already-inactive'>
  /** Never throws for an unreachable pool: it says so. */
  probe(ctx: OpContext): Promise<ProbeResult>
  listVolumes(ctx: OpContext): Promise<Volume[]>
  getVolume(name: string, ctx: OpContext): Promise<Volume | undefined>
  /** The same spec again returns the same volume; another one under the name is VOLUME_CONFLICT; nothing is left behind on failure or abort. */
  createVolume(spec: VolumeSpec, ctx: OpContext): Promise<Volume>
  /** Success when it is gone. With `owner`, only a volume made for that owner is deleted. */
  deleteVolume(name: string, ctx: OpContext, owner?: string): Promise<'deleted' | 'already-deleted'>
  diskSource(name: string, ctx: OpContext): Promise<DiskSource>
  readonly resize?: (name: string, sizeBytes: number, ctx: OpContext) => Promise<Volume>
}

/** How a pool type enters the agent: one entry in the registry. */
export interface PoolBackendFactory {
  readonly kind: PoolKind
  readonly traits: PoolTraits
  /** Validates `config.options` (POOL_CONFIG_INVALID names the field) and builds the backend; no I/O. */
  create(config: PoolConfig): PoolBackend
}
