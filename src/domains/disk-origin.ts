import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { placeOf, type DiskSpec } from '../core/model.ts'
import type { ContentOrigin } from '../storage/volume-content.ts'
import type { DomainDeps } from './deps.ts'
import { findDiskFile, findImageFile, volumeDisk, type FoundDisk } from './disk-chain.ts'
import { findNamedPlace } from './named-place.ts'
import { writersOf } from './pool-users.ts'

/** An image that a new disk begins with. */
export interface BackingImage extends ContentOrigin {
  readonly virtualSizeBytes: number
}

/** A disk that is there, with the pool it is in and the volume it is, as far as known (else ''). */
export interface ExistingDisk extends FoundDisk {
  readonly poolId: string
  readonly volume: string
}

/**
 * The image at an absolute path of a request: a file, or a volume of a pool without files. Errors: BACKING_FILE_MISSING, BACKING_FILE_REFUSED, VOLUME_IN_USE while a
 * running VM writes to it, LIBVIRT_UNAVAILABLE when that cannot be told, those of findNamedPlace.
 */
export async function findBackingImage(file: string, deps: DomainDeps, ctx: OpContext): Promise<BackingImage> {
  const image = await imageAt(file, deps, ctx)
  const writers = await writersOf(placeOf(image.source), deps.domains)
  if (writers.length === 0) return image
  throw new AgentError(
    'VOLUME_IN_USE',
    `backing image ${quote(file)} is a disk of ${writers.join(', ')}, running now: its content changes; stop the VM first, or use an image`,
  )
}

async function imageAt(file: string, deps: DomainDeps, ctx: OpContext): Promise<BackingImage> {
  const place = await findNamedPlace(file, deps, ctx)
  if (place.type === 'path') {
    const { layers, virtualSizeBytes } = await findImageFile(place.path, deps, ctx)
    return { source: layers[0], virtualSizeBytes }
  }
  const { poolId } = place.pool.config
  if (place.volume === undefined) {
    throw new AgentError(
      'BACKING_FILE_MISSING',
      `backing image ${quote(file)} is missing: pool ${poolId} has no volume ${place.name}; download it first`,
    )
  }
  const { name, source, virtualSizeBytes } = place.volume
  return { source, virtualSizeBytes, volume: { poolId, name } }
}

/** The disk that the `path` of a request names: a volume of its pool, or an absolute path. Errors: VOLUME_NOT_FOUND, INVALID_PATH, BACKING_FILE_REFUSED, those of findNamedPlace. */
export async function findExistingDisk(disk: DiskSpec, deps: DomainDeps, ctx: OpContext): Promise<ExistingDisk> {
  const place = disk.path.startsWith('/')
    ? await findNamedPlace(disk.path, deps, ctx)
    : await namedVolume(disk, deps, ctx)
  if (place.type === 'path') {
    const poolId = deps.pools.findByPath(place.path)?.config.poolId ?? ''
    return { ...(await findDiskFile(place.path, undefined, deps, ctx)), poolId, volume: '' }
  }
  const { pool, volume } = place
  const { poolId } = pool.config
  if (volume === undefined) {
    throw new AgentError(
      'VOLUME_NOT_FOUND',
      `disk ${disk.id}: volume ${quote(place.name)} is missing in pool ${poolId}`,
    )
  }
  const { source, name, format } = volume
  const found = source.type === 'file' ? await findDiskFile(source.path, format, deps, ctx) : volumeDisk(volume)
  return { ...found, poolId, volume: name }
}

async function namedVolume(disk: DiskSpec, { pools, config }: DomainDeps, ctx: OpContext) {
  const pool = await pools.require(disk.poolId === '' ? config.defaultPoolId : disk.poolId, ctx)
  const name = disk.path
  return { type: 'volume', pool, name, volume: await pool.backend.getVolume(name, ctx) } as const
}
