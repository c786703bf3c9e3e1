import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { VolumeSpec } from '../storage/backend.ts'
import { findDiskFile, MAX_LAYERS } from './disk-chain.ts'
import type { DomainDisk, DomainFacts, DomainLayer } from './domain-info.ts'
import { makeVolume } from './make-volume.ts'
import { diskVolumeName, vmOwner } from './names.ts'
import type { SnapshotParts } from './read-snapshots.ts'

/** A disk that is to go on in a new overlay on one of its files. Plain data, for journals. */
export interface PlannedOverlay {
  readonly target: string
  /** What it is made on. */
  readonly base: DomainLayer
  readonly sizeBytes: number
  readonly overlay: DomainLayer
}

const SECTOR = 512

/** Why a disk can have no overlay beside it; undefined when it can. */
export function overlayObstacle({ id, path }: DomainDisk, { deps }: Pick<SnapshotParts, 'deps'>): string | undefined {
  const pool = path.startsWith('/') ? deps.pools.findByPath(path) : undefined
  if (pool === undefined) return `has disk ${id} (${path}), which is no file of an active pool`
  return pool.backend.layers === undefined
    ? `has disk ${id} in pool ${pool.config.poolId}, whose type has no overlays`
    : undefined
}

/** Plans an overlay for a disk on the file it is in now, or (`base`) on another layer of it. Checks the chain below. Errors: SNAPSHOT_UNSUPPORTED for a chain that is too long, those of findDiskFile and getVolume. */
export async function planOverlay(
  facts: Pick<DomainFacts, 'vmId' | 'name' | 'layers'>,
  disk: DomainDisk,
  parts: SnapshotParts,
  ctx: OpContext,
  base: DomainLayer = layerOf(disk, facts.layers),
): Promise<PlannedOverlay> {
  const { layers, virtualSizeBytes } = await findDiskFile(base.path, base.format, parts.deps, ctx)
  if (layers.length >= MAX_LAYERS) {
    throw new AgentError(
      'SNAPSHOT_UNSUPPORTED',
      `VM ${facts.vmId}: disk ${disk.id} stands on ${layers.length} files, which is as many as may be; delete snapshots first`,
    )
  }
  const pool = parts.deps.pools.findByPath(base.path)
  if (pool === undefined) throw new AgentError('INTERNAL', `${quote(base.path)} is in no active pool`)
  const { backend } = pool
  if (backend.layers === undefined) throw new AgentError('UNIMPLEMENTED', `pool ${pool.config.poolId} has no overlays`)
  const taken = new Set(facts.layers.map(({ volume }) => volume))
  const nameOf = (n: number) => `${diskVolumeName(facts, disk.id)}.snap${n}`
  let n = 1
  while (taken.has(nameOf(n)) || (await backend.getVolume(nameOf(n), ctx)) !== undefined) n++
  const volume = nameOf(n)
  return {
    target: disk.targetDev,
    base,
    sizeBytes: Math.ceil(virtualSizeBytes / SECTOR) * SECTOR,
    overlay: {
      path: backend.layers.path(volume),
      format: 'qcow2',
      disk: disk.id,
      poolId: pool.config.poolId,
      volume,
      owned: true,
      overlay: true,
      keeps: '',
    },
  }
}

/** Makes a planned overlay; the same again is success. Errors: POOL_*, those of createVolume. */
export async function makeOverlay(
  vmId: string,
  { base, sizeBytes, overlay }: PlannedOverlay,
  { deps }: SnapshotParts,
  ctx: OpContext,
): Promise<void> {
  const spec: VolumeSpec = {
    name: overlay.volume,
    format: 'qcow2',
    sizeBytes,
    content: { type: 'overlay', path: base.path, format: base.format },
    owner: vmOwner(vmId),
  }
  const about = { what: `disk ${overlay.disk}`, purpose: `a snapshot of VM ${vmId}` }
  await makeVolume({ poolId: overlay.poolId, spec }, about, deps, ctx)
}

/** The layers of a VM with the new ones: what an overlay stands on comes before it. With `snapshot`, what they stand on is what that one stands for, and nothing else is. Pure. */
export function withPlanned(
  layers: readonly DomainLayer[],
  plans: readonly PlannedOverlay[],
  snapshot?: string,
): DomainLayer[] {
  const all = [...layers, ...plans.flatMap(({ base, overlay }) => [base, overlay])]
  const distinct = [...new Map(all.map((layer) => [layer.path, layer])).values()]
  if (snapshot === undefined) return distinct
  const bases = new Set(plans.map(({ base }) => base.path))
  return distinct.map((layer) => {
    if (bases.has(layer.path)) return { ...layer, keeps: snapshot }
    return layer.keeps === snapshot ? { ...layer, keeps: '' } : layer
  })
}

function layerOf(disk: DomainDisk, layers: readonly DomainLayer[]): DomainLayer {
  const { id, path, format, poolId, volume, owned } = disk
  const known = layers.find((layer) => layer.path === path)
  if (known !== undefined) return known
  return {
    path,
    format: format === 'raw' ? 'raw' : 'qcow2',
    disk: id,
    poolId,
    volume,
    owned,
    overlay: false,
    keeps: '',
  }
}
