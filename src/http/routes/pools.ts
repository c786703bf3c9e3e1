import { z } from 'zod'
import { AgentError } from '../../core/errors.ts'
import { parseId, quote } from '../../core/ids.ts'
import type { PoolConfig, PoolInfo, PoolKind } from '../../core/model.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import type { PoolService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { noContent, ok, route, type Route } from '../route.ts'
import { optionalText, time, toTime, unsigned } from '../schemas.ts'

const POOL_KINDS = ['LOCAL_DIR', 'LOCAL_LVM', 'NFS', 'CEPH_RBD', 'CEPH_FS', 'ISCSI'] as const satisfies PoolKind[]

const optionValue = z.union([z.string(), z.number(), z.boolean(), z.array(z.string())])

const createPoolRequest = z.object({
  poolId: z.string(),
  type: z.string().meta({ description: `one of ${POOL_KINDS.join(', ')}` }),
  path: optionalText,
  nfsServer: optionalText,
  nfsExport: optionalText,
  capacityGib: z.int().nonnegative().nullish(),
  options: z
    .record(z.string(), optionValue)
    .nullish()
    .meta({ description: 'further fields of the pool type, named as in the gRPC message in camelCase' }),
})

const pool = z.object({
  poolId: z.string(),
  type: z.enum(POOL_KINDS),
  mountPath: z.string(),
  devicePath: z.string(),
  rbdPool: z.string(),
  totalBytes: unsigned,
  availableBytes: unsigned,
  usedBytes: unsigned,
  volumeCount: unsigned,
  health: z.enum(['UNKNOWN', 'HEALTHY', 'DEGRADED', 'ERROR', 'UNMOUNTED']),
  healthReason: z.string(),
  message: z.string(),
  observedAt: time,
})

const poolParams = z.object({ id: z.string() })
const poolIdOf = (params: { id: string }) => parseId(params.id, 'id')

/** Storage pools of the host. */
export function poolRoutes(pools: PoolService): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/storage/pools',
      summary: 'Every pool of this host',
      responses: { 200: z.object({ pools: z.array(pool) }) },
      handle: async ({ signal }) => ok({ pools: (await pools.list(signal)).map(toPoolBody) }),
    }),
    route({
      method: 'POST',
      url: '/api/v1/storage/pools',
      summary: 'Make a pool usable on this host and remember it; the same again is success',
      body: createPoolRequest,
      responses: { 200: pool },
      handle: async ({ body, signal }) => ok(toPoolBody(await pools.init(toPoolConfig(body), signal))),
    }),
    route({
      method: 'GET',
      url: '/api/v1/storage/pools/:id',
      summary: 'One pool with the capacity and health of its last probe',
      params: poolParams,
      responses: { 200: pool },
      handle: async ({ params, signal }) => ok(toPoolBody(await pools.info(poolIdOf(params), signal))),
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/storage/pools/:id',
      summary: 'Forget a pool and detach its storage; data stays',
      params: poolParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await pools.destroy(poolIdOf(params), signal)
        return noContent
      },
    }),
  ]
}

function toPoolConfig(body: z.output<typeof createPoolRequest>): PoolConfig {
  const poolId = parseId(body.poolId, 'poolId')
  const kind = POOL_KINDS.find((known) => known === body.type)
  if (kind === undefined) throw new AgentError('POOL_TYPE_UNSUPPORTED', `type: ${quote(body.type)} is not a pool type`)
  const given = {
    ...body.options,
    ...(body.path === '' ? {} : { path: body.path }),
    ...(body.nfsServer === '' ? {} : { server: body.nfsServer }),
    ...(body.nfsExport === '' ? {} : { exportPath: body.nfsExport }),
    ...(body.capacityGib === null || body.capacityGib === undefined ? {} : { capacityGib: body.capacityGib }),
  }
  const check = fieldChecks('POOL_CONFIG_INVALID')
  for (const [key, value] of Object.entries(given)) {
    // Values are not quoted: some are secrets.
    const texts = Array.isArray(value) ? value : [String(value)]
    if (texts.some((text) => /\p{Cc}/u.test(text) || text.length > 4095)) {
      check.fail(`options.${key.slice(0, 64)}`, 'has a control character or is too long')
    }
  }
  return { poolId, kind, options: given }
}

function toPoolBody({ config, mountPath, devicePath, rbdPool, observation }: PoolInfo): z.input<typeof pool> {
  return {
    poolId: config.poolId,
    type: config.kind,
    mountPath,
    devicePath,
    rbdPool,
    totalBytes: toUnsigned(observation.totalBytes),
    availableBytes: toUnsigned(observation.availableBytes),
    usedBytes: toUnsigned(observation.usedBytes),
    volumeCount: toUnsigned(observation.volumeCount),
    health: observation.health,
    healthReason: observation.reason,
    message: observation.message,
    observedAt: toTime(observation.observedAt),
  }
}
