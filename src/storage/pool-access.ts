import type { OpContext } from '../core/context.ts'
import type { PoolConfig } from '../core/model.ts'
import type { PoolBackend } from './backend.ts'
import type { PoolGuard } from './pool-guard.ts'

/** A pool that is usable now. */
export interface ActivePool {
  readonly config: PoolConfig
  readonly backend: PoolBackend
  /** Present for file pools. */
  readonly guard?: PoolGuard
}

/** A place within a pool; `relative` is '' for its root. */
export interface PoolPlace {
  readonly pool: ActivePool
  readonly relative: string
}

/** Something that uses a pool, for refusals: `name` is for people (`VM web-1 (6f…)`), `path` the place in use (placeOf) when there is one. */
export interface PoolUser {
  readonly name: string
  /** Owner under which its own volumes are recorded, when it has any. */
  readonly owner?: string
  readonly path?: string
  /** What it does with the place: an `idle` user only refers to it now (a VM that is off). Absent = whatever a user may do. */
  readonly access?: 'writes' | 'reads' | 'idle'
}

/** Tells who uses `pool` right now. A source that cannot tell throws, and the pool then counts as used. */
export type PoolUserSource = (pool: ActivePool, ctx: OpContext) => Promise<readonly PoolUser[]>

/** What images and domains need of storage. The pool manager implements it. */
export interface PoolAccess {
  /** The pool, after discovery if it is not known yet. Errors: POOL_NOT_FOUND, POOL_UNAVAILABLE with the health reason. */
  require(poolId: string, ctx: OpContext): Promise<ActivePool>
  /** Every pool that is in use now; it may still be out of order. */
  active(): ActivePool[]
  /** The active file pool whose root contains absolute `path`, if any. */
  findByPath(path: string): ActivePool | undefined
  /**
   * The active pool, of any type, that a volume at `place` (placeOf) would belong to, if any. `monitors`: PoolBackend.holds; where no pool has one of them, the only one that holds the place without them, since monitors get other names. Undefined while several do.
   */
  findByPlace(place: string, monitors?: readonly string[]): ActivePool | undefined
  /** The backend of the pool, in use now or only known, that a volume at `place` (placeOf) would belong to, if any; `monitors`: as in `findByPlace`, and one of several where that cannot tell. */
  holderOf(place: string, monitors?: readonly string[]): PoolBackend | undefined
  /**
   * The pool that an absolute path of a request means, and the path within it: below the directory of a file pool, or below `<aliases>/<poolId>/images`, which stands
   * for the root of any pool (contract 2.1.3); in a pool of volumes the relative path names a volume. Undefined when no pool is meant. Errors: those of `require`.
   */
  locate(path: string, ctx: OpContext): Promise<PoolPlace | undefined>
  /**
   * Reserves space for work on a pool so that two jobs cannot both be promised the last bytes; POOL_FULL with the numbers. Release it when the bytes are there or
   * given up. `purpose` names the job to whoever asks why the pool cannot be destroyed meanwhile.
   */
  reserve(poolId: string, bytes: number, ctx: OpContext, purpose?: string): Promise<{ release(): void }>
  /** Who uses a pool, by the registered sources and jobs. Throws what a source throws that cannot tell. */
  users(pool: ActivePool, ctx: OpContext): Promise<readonly PoolUser[]>
  /**
   * Registers who is asked for users before a pool is destroyed or a volume deleted; e.g. the domain layer names domains and their disks. `contents`: what is kept in the pool itself with all that is known of it, such as backups.
   * Its volumes are not deleted, but the pool can be taken out of use with it: it is not asked then.
   */
  addUserSource(source: PoolUserSource, kind?: 'user' | 'contents'): void
}
