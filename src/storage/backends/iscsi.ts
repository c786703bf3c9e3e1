import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import type { PoolConfig } from '../../core/model.ts'
import type { DiscoveredPool, DiscoveryFacts, PoolBackend, PoolBackendFactory, PoolTraits } from '../backend.ts'
import { findPoolGroups } from '../discover-lvm.ts'
import type { StorageEnvironment } from '../environment.ts'
import { IscsiPool } from '../iscsi-pool.ts'
import { IscsiSessions, type IscsiLun } from '../iscsi-sessions.ts'
import { parseChap, parseIscsiPortal, parseTargetName, portalText } from '../iscsi-target.ts'
import { notAnswering } from '../iscsiadm.ts'
import { lvmBackend } from '../lvm-backend.ts'
import { checkLvmNames } from '../lvm-names.ts'
import { LvmPool } from '../lvm-pool.ts'
import { parsePoolOptions } from '../pool-options.ts'

const KIND = 'ISCSI'
const TRAITS: PoolTraits = { shared: true, access: 'block', formats: ['raw'], isolation: 'common' }
/** Two-level and flat addressing end here (SAM-5, 4.7). */
const MAX_LUN = 16383

const optionsSchema = z.strictObject({
  portal: z.string().min(1, 'is missing'),
  target: z.string().min(1, 'is missing'),
  chapEnabled: z.boolean().default(false),
  chapUser: z.string().default(''),
  chapPassword: z.string().default(''),
  lun: z.number().int().nonnegative().max(MAX_LUN).default(0),
  volumeGroup: z.string().default(''),
})

/**
 * Pools on a LUN of an iSCSI target (ISCSI). Options: `portal` (default port 3260), `target`, `lun` (default 0), `chapEnabled`, `chapUser`, `chapPassword`, `volumeGroup`
 * (default `vg_<poolId>`).
 */
export function iscsiPools(environment: StorageEnvironment): PoolBackendFactory {
  const sessions = new IscsiSessions(environment)
  return {
    kind: KIND,
    traits: TRAITS,
    create: (config) => createIscsiPool(config, environment, sessions),
    discover: (facts, poolId) => discoverIscsiPools(facts, poolId, environment, sessions),
  }
}

// Where the sessions are still there: volume groups that say whose they are, on disks of a session.
async function discoverIscsiPools(
  { ctx }: DiscoveryFacts,
  wanted: string | undefined,
  { nodeId }: StorageEnvironment,
  sessions: IscsiSessions,
): Promise<DiscoveredPool[]> {
  if (!(await sessions.any())) return []
  const groups = await findPoolGroups({ kind: KIND, nodeId, poolId: wanted }, ctx)
  const found = groups.map(async ({ poolId, volumeGroup, devices }): Promise<DiscoveredPool[]> => {
    const lun = devices.length === 1 ? await sessions.lunOf(String(devices[0])) : undefined
    if (lun === undefined) return []
    return [{ config: { poolId, kind: KIND, options: optionsOf(lun, volumeGroup) }, marked: true }]
  })
  return (await Promise.all(found)).flat()
}

function createIscsiPool(config: PoolConfig, environment: StorageEnvironment, sessions: IscsiSessions): PoolBackend {
  const poolId = parseId(config.poolId, 'pool_id')
  const given = parsePoolOptions('iscsi', optionsSchema, config.options)
  const target = { portal: parseIscsiPortal(given.portal), name: parseTargetName(given.target) }
  const chap = given.chapEnabled ? { chap: parseChap(given.chapUser, given.chapPassword) } : {}
  const volumeGroup = given.volumeGroup === '' ? `vg_${poolId}` : given.volumeGroup
  const thinPool = `thin_${poolId}`
  checkLvmNames('iscsi', volumeGroup, thinPool)
  const lun: IscsiLun = { poolId, target, lun: given.lun, ...chap }
  const pool = new LvmPool({
    environment,
    poolId,
    kind: KIND,
    volumeGroup,
    thinPool,
    named: given.volumeGroup !== '',
    devices: async () => [await sessions.device(lun)],
    silent: (why) => notAnswering(target, { why }),
  })
  const options = optionsOf(lun, given.volumeGroup)
  return lvmBackend(
    { kind: KIND, traits: TRAITS, config: { poolId, kind: KIND, options } },
    new IscsiPool({ sessions, lun, volumeGroup, pool }),
  )
}

function optionsOf({ target, lun, chap }: Omit<IscsiLun, 'poolId'>, volumeGroup: string): PoolConfig['options'] {
  const credentials = chap === undefined ? {} : { chapUser: chap.user, chapPassword: chap.password }
  const place = { portal: portalText(target.portal), target: target.name, lun, volumeGroup }
  return { ...place, chapEnabled: chap !== undefined, ...credentials }
}
