import { z } from 'zod'
import type { OpContext } from '../../core/context.ts'
import { GIB } from '../../core/bytes.ts'
import { parseId } from '../../core/ids.ts'
import type { PoolConfig } from '../../core/model.ts'
import type {
  Activation,
  ActivationRequest,
  DiscoveredPool,
  DiscoveryFacts,
  PoolBackend,
  PoolBackendFactory,
  PoolTraits,
} from '../backend.ts'
import type { StorageEnvironment } from '../environment.ts'
import { FilePool } from '../file-pool.ts'
import { parsePoolOptions, poolDirectory } from '../pool-options.ts'

const KIND = 'LOCAL_DIR'
const TRAITS: PoolTraits = { shared: false, access: 'file', formats: ['qcow2', 'raw'], isolation: 'common' }

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
  return {
    kind: KIND,
    traits: TRAITS,
    config: { poolId, kind: KIND, options },
    mountPath: path,
    activate: (request: ActivationRequest, ctx: OpContext): Promise<Activation> => pool.claim(request, ctx),
    deactivate: () => pool.close(),
    retire: (ctx) => pool.retire(ctx),
    probe: (ctx) => pool.probe(ctx),
    listVolumes: (ctx) => pool.volumes.list(ctx),
    getVolume: (name, ctx) => pool.volumes.get(name, ctx),
    createVolume: (spec, ctx) => pool.volumes.create(spec, ctx),
    deleteVolume: (name, ctx, owner) => pool.volumes.delete(name, ctx, owner),
    diskSource: (name, ctx) => pool.volumes.source(name, ctx),
    resize: (name, sizeBytes, ctx) => pool.volumes.resize(name, sizeBytes, ctx),
  }
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

// Only the marker proves a pool: a directory that happens to bear its id does not.
async function discoverLocalPools(
  facts: DiscoveryFacts,
  wanted: string | undefined,
  { paths }: StorageEnvironment,
): Promise<DiscoveredPool[]> {
  // Without an id there is nothing to ask for: the agent keeps the records of its own directories.
  if (wanted === undefined) return []
  for (const base of [paths.localPools, ...paths.formerLocalPools]) {
    const path = `${base}/${wanted}`
    const marker = await facts.readMarker(path)
    if (marker?.poolId === wanted && marker.kind === KIND) {
      return [{ config: { poolId: wanted, kind: KIND, options: { path } }, marked: true }]
    }
  }
  return []
}
