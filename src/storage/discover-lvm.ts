import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { errorText, isAgentError } from '../core/errors.ts'
import type { PoolKind } from '../core/model.ts'
import { run } from '../platform/exec.ts'
import { followLink, listNames, readAttribute, readNumber } from '../platform/sysfs.ts'
import { deviceTrouble } from './device-state.ts'
import { LVM_SETTINGS } from './lvm.ts'
import { GROUP_REPORT, parseGroups, type VolumeGroup } from './lvm-report.ts'

/** A volume group on this host that is a pool. */
export interface PoolGroup {
  readonly poolId: string
  /** '' for the usual one, `vg_<poolId>`. */
  readonly volumeGroup: string
  readonly thinPool: string
  /** Kernel names of its disks, such as `/dev/sdb`. */
  readonly devices: readonly string[]
}

const BLOCK = '/sys/class/block'
const BY_ID = '/dev/disk/by-id'
const NO_DISKS = /^(?:ram|zram|sr|fd)\d/
const REPORT_TIMEOUT_MS = 10_000

/**
 * The volume groups whose tags say that they are pools of a type and that this agent uses them: a destroyed pool lacks the second. Only disks that answer are asked. Where LVM is
 * not installed or fails there are none; the latter is logged.
 */
export async function findPoolGroups(
  { kind, nodeId, poolId }: { readonly kind: PoolKind; readonly nodeId: string; readonly poolId: string | undefined },
  ctx: OpContext,
): Promise<PoolGroup[]> {
  const devices = await answeringDisks()
  if (devices.length === 0) return []
  try {
    const args = [...GROUP_REPORT.slice(0, 1), '--config', LVM_SETTINGS, '--devices', devices.join(',')]
    const command = { file: 'lvm', args: [...args, ...GROUP_REPORT.slice(1)], timeoutMs: REPORT_TIMEOUT_MS }
    const { stdout } = await run({ ...command, env: { LVM_SUPPRESS_FD_WARNINGS: '1' } }, ctx.signal)
    return parseGroups(stdout).flatMap((group) => {
      const { pool, kind: tagged, nodes } = group.tags
      const isWanted = tagged === kind && nodes.includes(nodeId) && (poolId === undefined || pool === poolId)
      const thinPool = pool === undefined ? undefined : thinPoolOf(group, pool)
      if (!isWanted || pool === undefined || thinPool === undefined) return []
      const volumeGroup = group.name === `vg_${pool}` ? '' : group.name
      return [{ poolId: pool, volumeGroup, thinPool, devices: group.devices }]
    })
  } catch (error) {
    ctx.signal.throwIfAborted()
    if (!isAgentError(error, 'COMMAND_MISSING')) {
      ctx.log.warn({ pool: poolId, err: errorText(error) }, 'lost pools in volume groups could not be looked for')
    }
    return []
  }
}

/** Names of disks (`/dev/sdb`) that another disk does not get, as udev gave them; undefined unless every one has one. */
export async function stableNames(devices: readonly string[]): Promise<string[] | undefined> {
  const links = await listNames(BY_ID)
  const targets = await Promise.all(links.map(async (link) => [link, await followLink(BY_ID, link)] as const))
  const named = devices.map((device) => targets.find(([, target]) => target === device)?.[0])
  return named.includes(undefined) ? undefined : named.map((link) => path.join(BY_ID, String(link))).sort()
}

// The usual one, else the one its volumes are in, else the only one.
function thinPoolOf({ volumes }: VolumeGroup, poolId: string): string | undefined {
  const thinPools = volumes.filter(({ isThinPool }) => isThinPool).map(({ name }) => name)
  const usual = `thin_${poolId}`
  if (thinPools.includes(usual)) return usual
  const used = volumes.find(({ tags }) => tags.volume !== undefined)?.pool
  return used ?? (thinPools.length === 1 ? thinPools[0] : undefined)
}

// Not the logical volumes: what is in them is the guests'.
async function answeringDisks(): Promise<string[]> {
  const names = (await listNames(BLOCK)).filter((name) => !NO_DISKS.test(name))
  const disks = await Promise.all(
    names.map(async (name): Promise<string[]> => {
      if ((await readAttribute(BLOCK, name, 'dm', 'uuid')).startsWith('LVM-')) return []
      if (((await readNumber(BLOCK, name, 'size')) ?? 0) === 0) return []
      return (await deviceTrouble(`/dev/${name}`)) === undefined ? [`/dev/${name}`] : []
    }),
  )
  return disks.flat()
}
