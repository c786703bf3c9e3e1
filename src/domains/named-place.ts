import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { placeOf, type Volume } from '../core/model.ts'
import type { ActivePool, PoolAccess } from '../storage/pool-access.ts'
import { volumeNameOfPath } from '../storage/volume-name.ts'
import { devicePlace } from './device-place.ts'

/** What an absolute path of a request means: a file or device of this host, which need not be there or allowed; or a volume of a pool that has no files. */
export type NamedPlace =
  | { readonly type: 'path'; readonly path: string }
  | { readonly type: 'volume'; readonly pool: ActivePool; readonly name: string; readonly volume: Volume | undefined }

/**
 * Reads a path as the control plane sends it: below the directory of a pool, below the alias of a pool (contract 2.1.3), the device of a volume, or any other.
 * Errors: POOL_NOT_FOUND, POOL_UNAVAILABLE, INVALID_NAME for an alias that names no volume.
 */
export async function findNamedPlace(
  given: string,
  { pools }: { readonly pools: PoolAccess },
  ctx: OpContext,
): Promise<NamedPlace> {
  const place = await pools.locate(given, ctx)
  if (place !== undefined) {
    const { pool, relative } = place
    if (pool.backend.traits.access === 'file') {
      return { type: 'path', path: path.join(pool.backend.mountPath, relative) }
    }
    const name = volumeNameOfPath(relative)
    return { type: 'volume', pool, name, volume: await pool.backend.getVolume(name, ctx) }
  }
  const device = await devicePlace(given)
  const pool = pools.findByPlace(device)
  if (pool === undefined || pool.backend.traits.access === 'file') return { type: 'path', path: given }
  const volume = (await pool.backend.listVolumes(ctx)).find(({ source }) => placeOf(source) === device)
  return { type: 'volume', pool, name: volume?.name ?? device, volume }
}
