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

/** Something that uses a pool, for refusals: `name` is for people (`VM web-1 (6f…)`), `path` the absolute file in use when there is one. */
export interface PoolUser {
  readonly name: string
  /** Owner under which its own volumes are recorded, when it has any. */
  readonly owner?: string
  readonly path?: string
}

/** Tells who uses `pool` right now. A source that cannot tell throws, and the pool then counts as used. */
export type PoolUserSource = (pool: ActivePool, ctx: OpContext) => Promise<readonly PoolUser[]>

/** What images and domains need of storage. The pool manager implements it. */
export interface PoolAccess {
  /** The pool, after discovery if it is not known yet. Errors: POOL_NOT_FOUND, POOL_UNAVAILABLE with the health reason. */
  require(poolId: string, ctx: OpContext): Promise<ActivePool>
  /** The active file pool whose root contains absolute `path`, if any. */
  findByPath(path: string): ActivePool | undefined
  /**
   * Reserves space for work on a pool so that two jobs cannot both be promised the last bytes; POOL_FULL with the numbers. Release it when the bytes are there or
   * given up. `purpose` names the job to whoever asks why the pool cannot be destroyed meanwhile.
   */
  reserve(poolId: string, bytes: number, ctx: OpContext, purpose?: string): Promise<{ release(): void }>
  /** Who uses a pool, by the registered sources and jobs. Throws what a source throws that cannot tell. */
  users(pool: ActivePool, ctx: OpContext): Promise<readonly PoolUser[]>
  /** Registers who is asked for users before a pool is destroyed or a volume deleted; e.g. the domain layer names domains and their disks. */
  addUserSource(source: PoolUserSource): void
}
