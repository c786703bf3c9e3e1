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
