import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { isInside } from '../platform/files.ts'
import type { ActivationRequest } from './backend.ts'
import type { StorageEnvironment } from './environment.ts'
import type { PoolTarget } from './storage-io.ts'

/** The directory a pool is mounted on: made when that is safe, removed only when the agent made it and it is empty. */
export class MountPoint {
  readonly #environment: StorageEnvironment
  readonly #target: PoolTarget
  readonly path: string

  constructor(environment: StorageEnvironment, target: PoolTarget, mountPoint: string) {
    this.#environment = environment
    this.#target = target
    this.path = mountPoint
  }

  /**
   * Makes the directory ready for a mount. Errors: POOL_CONFIG_INVALID when the path leads elsewhere, POOL_PATH_MISSING when a parent is gone that was there at
   * the first use, MOUNT_POINT_NOT_EMPTY at the first use.
   */
  async prepare({ mode }: ActivationRequest, ctx: OpContext): Promise<void> {
    const { io, mountPoints, paths } = this.#environment
    const target = this.path
    const facts = await io.call(this.#target, 'lookAtMountPoint', { target }, { signal: ctx.signal })
    if (facts.real !== target) {
      throw new AgentError(
        'POOL_CONFIG_INVALID',
        `mount point ${target} leads through a symbolic link to ${facts.real}; configure that path`,
      )
    }
    if (facts.missing !== undefined) {
      // A parent that vanished is probably a lost mount: what is made in its place would end up on the disk below it.
      const parents = mode === 'initialise' || isInside(paths.mounts, target)
      if (!parents && facts.missing !== target) {
        throw new AgentError('POOL_PATH_MISSING', `the directory ${facts.missing} is missing; mount or restore it`)
      }
      // The common parent of default mount points is there to stay.
      const outermost = isInside(facts.missing, paths.mounts) ? target : facts.missing
      await mountPoints.put(this.#target.poolId, { target, outermost })
      await io.call(this.#target, 'makeMountPoint', { target, parents }, { signal: ctx.signal })
      return
    }
    if (!facts.isDirectory) throw new AgentError('POOL_CONFIG_INVALID', `mount point ${target} is not a directory`)
    if (facts.isEmpty) return
    if (mode === 'initialise') {
      throw new AgentError(
        'MOUNT_POINT_NOT_EMPTY',
        `the directory ${target} has content that the mount would hide; move it away or use another mount point`,
      )
    }
    ctx.log.warn({ pool: this.#target.poolId, path: target }, 'the mount hides content of its mount point')
  }

  /** Removes the directory if the agent made it; anything in it keeps it. */
  async remove(signal: AbortSignal): Promise<void> {
    const { io, mountPoints } = this.#environment
    const { poolId } = this.#target
    const made = await mountPoints.get(poolId)
    if (made?.target === this.path) await io.call(this.#target, 'removeMountPoint', made, { signal })
    if (made !== undefined) await mountPoints.delete(poolId)
  }
}
