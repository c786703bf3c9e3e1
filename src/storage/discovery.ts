import type { OpContext } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import type { PoolConfig } from '../core/model.ts'
import { readMounts } from '../platform/mounts.ts'
import type { PoolBackendFactory } from './backend.ts'
import type { StorageEnvironment } from './environment.ts'

/**
 * Looks on the host for a pool the agent has no record of: each backend knows where its pools are found again and what proves them. Undefined when nothing
 * proves to be the pool. A place that does not answer is skipped and logged.
 */
export async function discoverPool(
  poolId: string,
  factories: readonly PoolBackendFactory[],
  environment: StorageEnvironment,
  ctx: OpContext,
): Promise<PoolConfig | undefined> {
  const mounts = await readMounts()
  // One helper of its own: a dead mount among the candidates must not take the shared one with it.
  const target = { poolId: `discovery of ${poolId}`, isolation: 'own' } as const
  const readMarker = async (root: string) => {
    try {
      return await environment.io.call(target, 'markerIn', { root }, { signal: ctx.signal })
    } catch (error) {
      ctx.signal.throwIfAborted()
      ctx.log.warn({ pool: poolId, path: root, err: errorText(error) }, 'a place a pool could be at does not answer')
      return undefined
    }
  }
  try {
    for (const factory of factories) {
      const found = await factory.discover?.(poolId, { mounts, readMarker }, ctx)
      if (found !== undefined) return found
    }
    return undefined
  } finally {
    environment.io.forget(target)
  }
}
