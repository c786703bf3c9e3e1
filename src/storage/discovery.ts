import type { OpContext } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { isInside } from '../platform/files.ts'
import type { DiscoveredPool, PoolBackendFactory, PoolTraits } from './backend.ts'
import type { StorageEnvironment } from './environment.ts'

/** What to look for: one pool, or whatever shows; `knownRoots` are the directories of pools that need not be found. */
export interface Search {
  readonly poolId?: string
  readonly knownRoots: readonly string[]
  /** Places (placeOf) that guests use. */
  readonly guestPlaces: readonly string[]
}

/**
 * Looks on the host for pools the agent has no record of: each backend knows where its pools are found again and what proves them. A place that does not answer
 * is skipped and logged.
 */
export async function discoverPools(
  { poolId, knownRoots, guestPlaces: used }: Search,
  factories: readonly PoolBackendFactory[],
  environment: StorageEnvironment,
  ctx: OpContext,
): Promise<DiscoveredPool[]> {
  const mounts = (await environment.mounter.list()).filter(({ mountPoint }) => !knownRoots.includes(mountPoint))
  const guestPlaces = used.filter((place) => !knownRoots.some((root) => root !== '' && isInside(root, place)))
  const readMarker = async (root: string, { isolation }: PoolTraits) => {
    // Where a file system can hang, a helper for each place: a dead one among the candidates must not take the others with it.
    const target = { poolId: `discovery at ${root}`, isolation }
    try {
      return await environment.io.call(target, 'markerIn', { root }, { signal: ctx.signal })
    } catch (error) {
      ctx.signal.throwIfAborted()
      ctx.log.warn({ pool: poolId, path: root, err: errorText(error) }, 'a place a pool could be at does not answer')
      return undefined
    } finally {
      await environment.io.forget(target)
    }
  }
  const found: DiscoveredPool[] = []
  for (const factory of factories) {
    if (factory.discover === undefined) continue
    const facts = { ctx, mounts, guestPlaces, readMarker: (root: string) => readMarker(root, factory.traits) }
    found.push(...(await factory.discover(facts, poolId)))
    if (poolId !== undefined && found.length > 0) break
  }
  return found
}
