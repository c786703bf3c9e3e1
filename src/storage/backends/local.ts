import { z } from 'zod'
import type { OpContext } from '../../core/context.ts'
import { GIB } from '../../core/bytes.ts'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { parseId } from '../../core/ids.ts'
import type { PoolConfig } from '../../core/model.ts'
import { parseAbsolutePath } from '../../platform/files.ts'
import type {
  Activation,
  ActivationRequest,
  DiscoveryFacts,
  PoolBackend,
  PoolBackendFactory,
  PoolTraits,
} from '../backend.ts'
import type { StorageEnvironment } from '../environment.ts'
import { FilePool } from '../file-pool.ts'
import { forbiddenPoolPath } from '../pool-path.ts'

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
    discover: (poolId, facts) => discoverLocalPool(poolId, facts, environment),
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
    deactivate: () => Promise.resolve(pool.close()),
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
  const parsed = optionsSchema.safeParse(config.options)
  if (!parsed.success) {
    const issue = parsed.error.issues[0]
    const field = ['local', ...(issue?.path ?? [])].join('.')
    throw new AgentError('POOL_CONFIG_INVALID', `${field}: ${issue?.message ?? 'is not valid'}`)
  }
  const { capacityGib } = parsed.data
  const path = absolutePath(parsed.data.path === '' ? `${paths.localPools}/${poolId}` : parsed.data.path)
  const why = forbiddenPoolPath(path, paths.reserved)
  if (why !== undefined) throw new AgentError('POOL_CONFIG_INVALID', `local.path: ${path} ${why}`)
  return capacityGib === undefined || capacityGib === 0 ? { path } : { path, capacityGib }
}

function absolutePath(text: string): string {
  try {
    return parseAbsolutePath(text, 'local.path')
  } catch (error) {
    if (isAgentError(error, 'INVALID_PATH')) throw new AgentError('POOL_CONFIG_INVALID', error.message)
    throw error
  }
}

// Only the marker proves a pool: a directory that happens to bear its id does not.
async function discoverLocalPool(
  poolId: string,
  facts: DiscoveryFacts,
  { paths }: StorageEnvironment,
): Promise<PoolConfig | undefined> {
  for (const base of [paths.localPools, ...paths.formerLocalPools]) {
    const path = `${base}/${poolId}`
    const marker = await facts.readMarker(path)
    if (marker?.poolId === poolId && marker.kind === KIND) return { poolId, kind: KIND, options: { path } }
  }
  return undefined
}
