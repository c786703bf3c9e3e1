import type { PoolConfig, PoolKind } from '../core/model.ts'
import type { MountEntry } from '../platform/mounts.ts'
import type { DiscoveredPool, DiscoveryFacts } from './backend.ts'

/** How the mounts of one pool type are known. */
export interface MountedPoolSearch {
  readonly kind: PoolKind
  readonly fsTypes: readonly string[]
  /** What a default mount point begins with; the pool id follows. */
  readonly prefix: string
  /** The options of a pool that is mounted like this; undefined when no pool is. */
  optionsOf(entry: MountEntry): PoolConfig['options'] | undefined
}

/**
 * Lost pools among the mounts of this host. The path of a default mount point names its pool, so such a mount needs no marker yet; any other one is known by
 * its marker alone.
 */
export async function discoverMounted(
  { kind, fsTypes, prefix, optionsOf }: MountedPoolSearch,
  facts: DiscoveryFacts,
  wanted: string | undefined,
): Promise<DiscoveredPool[]> {
  const found = facts.mounts
    .filter(({ fsType }) => fsTypes.includes(fsType))
    .map(async (entry): Promise<DiscoveredPool[]> => {
      const { mountPoint } = entry
      const options = optionsOf(entry)
      if (options === undefined) return []
      const byPath = mountPoint.startsWith(prefix) ? mountPoint.slice(prefix.length) : undefined
      if (byPath !== undefined && wanted !== undefined && byPath !== wanted) return []
      const marker = await facts.readMarker(mountPoint)
      const poolId = marker?.kind === kind ? marker.poolId : marker === undefined ? byPath : undefined
      if (poolId === undefined || (wanted !== undefined && poolId !== wanted)) return []
      return [{ config: { poolId, kind, options: { ...options, mountPoint } }, marked: marker !== undefined }]
    })
  return (await Promise.all(found)).flat()
}
