import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import type { PoolConfig } from '../../core/model.ts'
import { parseAbsolutePath } from '../../platform/files.ts'
import type { DiscoveredPool, DiscoveryFacts, PoolBackend, PoolBackendFactory, PoolTraits } from '../backend.ts'
import { findPoolGroups, stableNames } from '../discover-lvm.ts'
import type { StorageEnvironment } from '../environment.ts'
import { lvmBackend } from '../lvm-backend.ts'
import { checkLvmNames } from '../lvm-names.ts'
import { LvmPool } from '../lvm-pool.ts'
import { parsePoolOptions } from '../pool-options.ts'

const KIND = 'LOCAL_LVM'
const TRAITS: PoolTraits = { shared: false, access: 'block', formats: ['raw'], isolation: 'common' }

const device = z
  .string()
  .refine((path) => /^\/dev\/[^\s,]+$/.test(path) && isPlain(path), 'is not the path of a device below /dev')

const optionsSchema = z.strictObject({
  volumeGroup: z.string().default(''),
  thinPool: z.string().default(''),
  devices: z.array(device).max(64).default([]),
})

/** Pools in a volume group of this host (LOCAL_LVM). Options: `volumeGroup` (default `vg_<poolId>`), `thinPool` (default `thin_<poolId>`), `devices` to make it on. */
export function lvmPools(environment: StorageEnvironment): PoolBackendFactory {
  return {
    kind: KIND,
    traits: TRAITS,
    create: (config) => createLvmPool(config, environment),
    discover: (facts, poolId) => discoverLvmPools(facts, poolId, environment),
  }
}

function createLvmPool(config: PoolConfig, environment: StorageEnvironment): PoolBackend {
  const poolId = parseId(config.poolId, 'pool_id')
  const given = parsePoolOptions('lvm', optionsSchema, config.options)
  const volumeGroup = given.volumeGroup === '' ? `vg_${poolId}` : given.volumeGroup
  const thinPool = given.thinPool === '' ? `thin_${poolId}` : given.thinPool
  checkLvmNames('lvm', volumeGroup, thinPool)
  const devices = [...new Set(given.devices)].sort()
  const pool = new LvmPool({
    environment,
    poolId,
    kind: KIND,
    volumeGroup,
    thinPool,
    named: given.volumeGroup !== '',
    ...(devices.length === 0 ? {} : { devices: () => Promise.resolve(devices) }),
  })
  const options = { volumeGroup: given.volumeGroup, thinPool, devices }
  return lvmBackend({ kind: KIND, traits: TRAITS, config: { poolId, kind: KIND, options } }, pool)
}

// Without names for the disks that last, LVM looks on the whole host; the next initialisation says which they are.
async function discoverLvmPools(
  { ctx }: DiscoveryFacts,
  poolId: string | undefined,
  { nodeId }: StorageEnvironment,
): Promise<DiscoveredPool[]> {
  const groups = await findPoolGroups({ kind: KIND, nodeId, poolId }, ctx)
  const found = groups.map(async ({ poolId, volumeGroup, thinPool, devices }): Promise<DiscoveredPool> => {
    const options = { volumeGroup, thinPool, devices: (await stableNames(devices)) ?? [] }
    return { config: { poolId, kind: KIND, options }, marked: true }
  })
  return Promise.all(found)
}

function isPlain(path: string): boolean {
  try {
    return parseAbsolutePath(path, 'device') === path
  } catch {
    return false
  }
}
