import { z } from 'zod'
import { isUuid, parseId, quote } from '../../core/ids.ts'
import { AgentError } from '../../core/errors.ts'
import type { PoolConfig } from '../../core/model.ts'
import type { PoolBackend, PoolBackendFactory, PoolTraits } from '../backend.ts'
import { cephClientFields, monitorText, parseCephClient } from '../ceph-client.ts'
import type { StorageEnvironment } from '../environment.ts'
import { parsePoolOptions } from '../pool-options.ts'
import type { RbdPlace } from '../rbd-name.ts'
import { RbdPool } from '../rbd-pool.ts'

const KIND = 'CEPH_RBD'
const TRAITS: PoolTraits = { shared: true, access: 'network', formats: ['raw'], isolation: 'common' }
/** Of pools and namespaces; Ceph allows more, but not every tool can be given it. */
const NAME = /^[A-Za-z0-9_.][A-Za-z0-9_.-]{0,127}$/

const optionsSchema = z.strictObject({
  ...cephClientFields,
  poolName: z.string().min(1, 'is missing'),
  namespace: z.string().default(''),
})

/**
 * Pools of RBD images (CEPH_RBD). Options: `monitors`, `poolName`, `namespace`, `user` (default admin), `keyringPath` (default `/etc/ceph/ceph.client.<user>.keyring`),
 * `clusterId` (checked when it is an fsid), `secretUuid` (default: derived from the pool id).
 */
export function cephRbdPools(environment: StorageEnvironment): PoolBackendFactory {
  return { kind: KIND, traits: TRAITS, create: (config) => createRbdPool(config, environment) }
}

function createRbdPool(config: PoolConfig, environment: StorageEnvironment): PoolBackend {
  const poolId = parseId(config.poolId, 'pool_id')
  const given = parsePoolOptions('ceph', optionsSchema, config.options)
  const client = parseCephClient(given)
  const place = parsePlace(given)
  const secretUuid = given.secretUuid.toLowerCase()
  if (secretUuid !== '' && !isUuid(secretUuid)) throw invalid('secret_uuid', `${quote(secretUuid)} is not a UUID`)
  const { clusterId } = given
  const pool = new RbdPool({ environment, poolId, traits: TRAITS, client, place, secretUuid, clusterId })
  const { volumes, snapshots, leases } = pool
  const { user, keyringPath } = client
  const monitors = client.monitors.map(monitorText)
  const { pool: poolName, namespace } = place
  return {
    kind: KIND,
    traits: TRAITS,
    config: {
      poolId,
      kind: KIND,
      options: { clusterId, monitors, poolName, namespace, user, keyringPath, secretUuid },
    },
    mountPath: '',
    rbdPool: pool.name,
    activate: (request, ctx) => pool.activate(request, ctx),
    deactivate: (ctx) => pool.deactivate(ctx),
    // No `retire`: other hosts may use the pool, and without its mark they would lose it.
    probe: (ctx) => pool.probe(ctx),
    listVolumes: (ctx) => volumes.list(ctx),
    getVolume: (name, ctx) => volumes.get(name, ctx),
    createVolume: (spec, ctx, options) => pool.changing(volumes.create(spec, ctx, options)),
    deleteVolume: (name, ctx, owner) => pool.changing(volumes.delete(name, ctx, owner)),
    diskSource: (name, ctx) => pool.diskSource(name, ctx),
    holds: (text, monitors) => pool.holds(text, monitors),
    resize: (name, sizeBytes, ctx) => volumes.resize(name, sizeBytes, ctx),
    snapshots,
    leases,
  }
}

function parsePlace({ poolName, namespace }: { poolName: string; namespace: string }): RbdPlace {
  if (!NAME.test(poolName)) throw invalid('pool_name', `${quote(poolName)} is not the name of a Ceph pool`)
  if (namespace !== '' && !NAME.test(namespace)) {
    throw invalid('namespace', `${quote(namespace)} is not the name of an RBD namespace`)
  }
  return { pool: poolName, namespace }
}

function invalid(field: string, text: string): AgentError {
  return new AgentError('POOL_CONFIG_INVALID', `ceph.${field}: ${text}`)
}
