import type { OpContext } from '../core/context.ts'
import type { PoolConfig } from '../core/model.ts'
import type { PoolBackend } from './backend.ts'

/**
 * Identity of a file pool that a worker checks right before it writes: the directory is on the mount it was on at activation and carries our marker. Nothing is
 * ever written below an unmounted mount point. Plain data: it travels to worker processes.
 */
export interface PoolGuard {
  readonly root: string
  readonly poolId: string
  readonly generation: string
  /** mountinfo id and `major:minor` of the file system the root is on. */
  readonly mountId: number
  readonly device: string
}

/** A pool that is usable now. */
export interface ActivePool {
  readonly config: PoolConfig
  readonly backend: PoolBackend
  /** Present for file pools. */
  readonly guard?: PoolGuard
}

/** What images and domains need of storage. The pool manager implements it. */
export interface PoolAccess {
  /** The pool, after discovery if it is not known yet. Errors: POOL_NOT_FOUND, POOL_UNAVAILABLE with the health reason. */
  require(poolId: string, ctx: OpContext): Promise<ActivePool>
  /** The active file pool whose root contains absolute `path`, if any. */
  findByPath(path: string): ActivePool | undefined
  /**
   * Reserves space for work on a pool so that two jobs cannot both be promised the last bytes; POOL_FULL with the numbers. Release it when the bytes are there or
   * given up.
   */
  reserve(poolId: string, bytes: number, ctx: OpContext): Promise<{ release(): void }>
  /** Registers what `usersOf` should name; e.g. the domain layer tells which domains use a path. */
  addUserSource(source: (pool: ActivePool, ctx: OpContext) => Promise<string[]>): void
}
