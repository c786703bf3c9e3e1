import type { OpContext } from '../../core/context.ts'
import { AgentError, toAgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { placeOf } from '../../core/model.ts'
import type { DomainDeps } from '../deps.ts'
import type { DomainDisk } from '../domain-info.ts'
import { findDiskFile } from '../disk-chain.ts'
import { readXml } from '../read-xml.ts'
import { parseSnapshot } from '../snapshot-info.ts'
import { placesOfSnapshot } from './guest-xml.ts'
import { MAX_SNAPSHOTS } from './message-schemas.ts'
import type { MigrationOffer, OfferedDisk } from './messages.ts'
import type { SnapshotRecord } from './snapshot-metadata.ts'

/** They travel in one request, with everything else. */
const MAX_CHARACTERS = 4 * 1024 * 1024

/** What the source can tell of snapshots that cannot move. Pure. */
export function snapshotProblems(records: readonly SnapshotRecord[]): string[] {
  const characters = records.reduce((sum, { xml }) => sum + xml.length, 0)
  if (records.length > MAX_SNAPSHOTS || characters > MAX_CHARACTERS)
    return [`it has ${records.length} snapshots, more than can move with it: delete some first`]
  return records
    .filter(({ xml }) => parseSnapshot(xml).external.includes('memory'))
    .map(({ name }) => `its snapshot ${quote(name)} has its memory in a file of its own: delete it first`)
}

/** What the target makes of the snapshots of an offer. */
export interface SnapshotJudgement {
  readonly problems: readonly string[]
  /** Places (placeOf) that they may use: they are in pools that both hosts have. */
  readonly places: readonly string[]
}

/**
 * Judges snapshots at the target: each names its disks by their paths of then, so that the storage of all of them has to be here, at the same place. `shared` are the disks of the VM that both hosts see, by their name in the domain.
 * Errors: POOL_*.
 */
export async function judgeSnapshots(
  offer: MigrationOffer,
  shared: ReadonlySet<string>,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<SnapshotJudgement> {
  const { disks, snapshots } = offer
  if (snapshots.length === 0) return { problems: [], places: [] }
  const apart = disks.filter(({ target }) => !shared.has(target))
  if (apart.length > 0) {
    const names = apart.map(({ target }) => target).join(', ')
    return {
      problems: [
        `it has ${snapshots.length} snapshot(s), which cannot be copied with its storage (${names}): delete them first`,
      ],
      places: [],
    }
  }
  const problems: string[] = []
  const places = new Set<string>()
  const pools = new Set(disks.map(({ poolId }) => poolId))
  for (const disk of disks) {
    const why = await elsewhere(disk, deps, ctx)
    if (why !== undefined) problems.push(why)
  }
  for (const { name, xml } of snapshots) {
    const { domain, internal, external } = parseSnapshot(xml)
    const kept = (domain?.disks ?? []).filter(({ targetDev }) => [...internal, ...external].includes(targetDev))
    for (const disk of kept) {
      const why = await missing(disk, pools, deps, ctx)
      if (why !== undefined) problems.push(`snapshot ${quote(name)}: ${why}`)
    }
    for (const place of placesOfSnapshot(readXml(xml))) {
      const pool = deps.pools.findByPlace(place)
      if (pool !== undefined && pools.has(pool.config.poolId)) places.add(place)
    }
  }
  return { problems: [...new Set(problems)], places: [...places] }
}

async function elsewhere(disk: OfferedDisk, { pools }: DomainDeps, ctx: OpContext): Promise<string | undefined> {
  const { backend } = await pools.require(disk.poolId, ctx)
  const source = (await backend.getVolume(disk.volume, ctx))?.source
  if (source === undefined || placeOf(source) === disk.place) return undefined
  return `it has snapshots, which name disk ${disk.target} by its path, and pool ${disk.poolId} is at another path on the target host: delete them first`
}

async function missing(
  disk: DomainDisk,
  shared: ReadonlySet<string>,
  deps: DomainDeps,
  ctx: OpContext,
): Promise<string | undefined> {
  const what = `disk ${disk.targetDev} (${disk.path})`
  const pool = deps.pools.findByPlace(disk.place)
  if (pool === undefined || !shared.has(pool.config.poolId))
    return `${what} is in no pool that the other disks of the VM are in, so it cannot move with it: delete the snapshot first`
  if (disk.format !== 'qcow2' || !disk.path.startsWith('/')) return undefined
  const found = await findDiskFile(disk.path, disk.format, deps, ctx).catch((error: unknown) => {
    ctx.signal.throwIfAborted()
    return toAgentError(error)
  })
  return found instanceof AgentError ? `${what}: ${found.message}` : undefined
}
