import { dirname } from 'node:path'
import { z } from 'zod'
import { GIB } from '../../core/bytes.ts'
import { parseId } from '../../core/ids.ts'
import type { PoolConfig } from '../../core/model.ts'
import { mountOf } from '../../platform/mounts.ts'
import type { DiscoveredPool, DiscoveryFacts, PoolBackend, PoolBackendFactory, PoolTraits } from '../backend.ts'
import type { StorageEnvironment } from '../environment.ts'
import { fileBackend } from '../file-backend.ts'
import { FilePool } from '../file-pool.ts'
import { parsePoolOptions, poolDirectory } from '../pool-options.ts'
import { forbiddenPoolPath } from '../pool-path.ts'

const KIND = 'LOCAL_DIR'
const TRAITS: PoolTraits = { shared: false, access: 'file', formats: ['qcow2', 'raw'], isolation: 'common' }

/** What the shared helper may look at: anything else could hang it. */
const LOCAL_FILE_SYSTEMS: ReadonlySet<string> = new Set([
  'ext4',
  'ext3',
  'ext2',
  'xfs',
  'btrfs',
  'f2fs',
  'zfs',
  'overlay',
  'tmpfs',
])
/** More directories than this are not looked at in a search. */
const MAX_DIRECTORIES = 500

const optionsSchema = z.strictObject({
  path: z.string().default(''),
  /** Most the pool may hold, in GiB; absent or 0 = all of the file system. */
  capacityGib: z
    .number()
    .int()
    .nonnegative()
    .max(2 ** 23)
    .optional(),
})

/** Pools in a directory of this host (LOCAL_DIR). Options: `path` (default `<localPools>/<poolId>`), `capacityGib`. */
export function localPools(environment: StorageEnvironment): PoolBackendFactory {
  return {
    kind: KIND,
    traits: TRAITS,
    create: (config) => createLocalPool(config, environment),
    discover: (facts, poolId) => discoverLocalPools(facts, poolId, environment),
  }
}

function createLocalPool(config: PoolConfig, environment: StorageEnvironment): PoolBackend {
  const poolId = parseId(config.poolId, 'pool_id')
  const { path, capacityGib } = parseOptions(config, poolId, environment)
  const options = { path, ...(capacityGib === undefined ? {} : { capacityGib }) }
  const pool = new FilePool({
    environment,
    poolId,
    kind: KIND,
    root: path,
    isolation: TRAITS.isolation,
    ...(capacityGib === undefined ? {} : { capacityBytes: capacityGib * GIB }),
  })
  return fileBackend(
    { kind: KIND, traits: TRAITS, config: { poolId, kind: KIND, options }, mountPath: path },
    {
      volumes: pool.volumes,
      activate: (request, ctx) => pool.claim(request, ctx),
      deactivate: () => pool.close(),
      retire: (ctx) => pool.retire(ctx),
      probe: (ctx) => pool.probe(ctx),
    },
  )
}

function parseOptions(
  config: PoolConfig,
  poolId: string,
  { paths }: StorageEnvironment,
): { path: string; capacityGib?: number } {
  const { path: given, capacityGib } = parsePoolOptions('local', optionsSchema, config.options)
  const path = poolDirectory('local.path', given === '' ? `${paths.localPools}/${poolId}` : given, paths.reserved)
  return capacityGib === undefined || capacityGib === 0 ? { path } : { path, capacityGib }
}

// Only the marker proves a pool: a directory that happens to bear its id does not. Pools at a path of their own are found by the disks of the guests on them.
async function discoverLocalPools(
  facts: DiscoveryFacts,
  wanted: string | undefined,
  { paths }: StorageEnvironment,
): Promise<DiscoveredPool[]> {
  const usual =
    wanted === undefined ? [] : [paths.localPools, ...paths.formerLocalPools].map((base) => `${base}/${wanted}`)
  const found = new Map<string, DiscoveredPool>()
  for (const path of [...usual, ...directoriesOfGuests(facts, paths.reserved)]) {
    const marker = await facts.readMarker(path)
    if (marker?.kind !== KIND || (wanted !== undefined && marker.poolId !== wanted)) continue
    const { poolId } = marker
    if (!found.has(poolId)) found.set(poolId, { config: { poolId, kind: KIND, options: { path } }, marked: true })
    if (wanted !== undefined) break
  }
  return [...found.values()]
}

/** Directories above the files of guests that could be pools, on file systems that do not hang; the outermost of many are left out. */
function directoriesOfGuests({ guestPlaces, mounts }: DiscoveryFacts, reserved: readonly string[]): string[] {
  const directories = new Set<string>()
  for (const place of guestPlaces) {
    if (!place.startsWith('/') || !LOCAL_FILE_SYSTEMS.has(mountOf(mounts, place)?.fsType ?? '')) continue
    for (let up = dirname(place); forbiddenPoolPath(up, reserved) === undefined; up = dirname(up)) directories.add(up)
  }
  return [...directories].slice(0, MAX_DIRECTORIES)
}
