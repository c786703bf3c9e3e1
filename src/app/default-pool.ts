import type { OpContext } from '../core/context.ts'
import { isAgentError } from '../core/errors.ts'
import type { ActivePool, PoolAccess } from '../storage/pool-access.ts'
import type { PoolManager } from '../storage/pool-manager.ts'

/** Id of the local pool for disks that name none. */
export const DEFAULT_POOL_ID = 'host-default'

/** Pool access that makes the default pool in `directory` when a VM first needs it; a host whose VMs all name pools never sees it. */
export function withDefaultPool(pools: PoolManager, directory: string): PoolAccess {
  const require = async (poolId: string, ctx: OpContext): Promise<ActivePool> => {
    try {
      return await pools.require(poolId, ctx)
    } catch (error) {
      if (poolId !== DEFAULT_POOL_ID || !isAgentError(error, 'POOL_NOT_FOUND')) throw error
      await pools.init({ poolId, kind: 'LOCAL_DIR', options: { path: directory } }, ctx)
      return pools.require(poolId, ctx)
    }
  }
  return {
    require,
    active: () => pools.active(),
    findByPath: (path) => pools.findByPath(path),
    findByPlace: (place, monitors) => pools.findByPlace(place, monitors),
    holderOf: (place, monitors) => pools.holderOf(place, monitors),
    locate: (path, ctx) => pools.locate(path, ctx),
    reserve: (poolId, bytes, ctx, purpose) => pools.reserve(poolId, bytes, ctx, purpose),
    users: (pool, ctx) => pools.users(pool, ctx),
    addUserSource: (source, kind) => pools.addUserSource(source, kind),
  }
}
