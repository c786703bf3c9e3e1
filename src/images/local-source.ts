import path from 'node:path'
import { fileURLToPath } from 'node:url'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { isInside, parseAbsolutePath } from '../platform/files.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import { RECORDS_DIRECTORY } from '../storage/pool-marker.ts'
import type { ImageTarget } from './image-target.ts'

/** A file of this host that an image is made of. Plain data. */
export interface LocalSource {
  /** '' when it is below an allowed directory. */
  readonly poolId: string
  /** The root of the pool, or the allowed directory; `directory` is in it. */
  readonly base: string
  readonly directory: string
  readonly fileName: string
}

/** The absolute path that a `file://` URL or a plain path names; undefined for any other text. Throws INVALID_PATH. */
export function localPath(text: string): string | undefined {
  const isUrl = /^file:/i.test(text)
  if (!isUrl && !text.startsWith('/')) return undefined
  const url = isUrl ? URL.parse(text) : undefined
  if (url === null || (url !== undefined && url.host !== '')) {
    throw new AgentError('INVALID_PATH', `${quote(text)} names no file of this host; write file:///absolute/path`)
  }
  try {
    return parseAbsolutePath(url === undefined ? text : fileURLToPath(url), 'source')
  } catch (error) {
    throw error instanceof AgentError ? error : new AgentError('INVALID_PATH', `${quote(text)} is not a usable path`)
  }
}

/** Where the file at `file` is: in a known pool, or below an allowed directory. Touches no file system. Errors: SOURCE_REFUSED, those of PoolAccess.locate. */
export async function planLocalSource(
  file: string,
  pools: PoolAccess,
  allowedDirs: readonly string[],
  ctx: OpContext,
): Promise<LocalSource> {
  const place = await pools.locate(file, ctx)
  const root = place?.pool.guard?.root
  const real = place === undefined || root === undefined ? file : path.join(root, place.relative)
  const base = root ?? allowedDirs.find((dir) => isInside(dir, real))
  if (base === undefined || real === base || isInside(path.join(base, RECORDS_DIRECTORY), real)) {
    throw new AgentError(
      'SOURCE_REFUSED',
      `source ${quote(file)} is a file of no known pool, and below no allowed directory (${allowedDirs.join(', ') || 'none'})`,
    )
  }
  const poolId = root === undefined ? '' : (place?.pool.config.poolId ?? '')
  return { poolId, base, directory: path.dirname(real), fileName: path.basename(real) }
}

/** The source as a place to open, with the identity of its pool as it is now. Errors: POOL_NOT_FOUND, POOL_UNAVAILABLE, SOURCE_REFUSED. */
export async function openableSource(
  { poolId, base, directory, fileName }: LocalSource,
  jobId: string,
  pools: PoolAccess,
  ctx: OpContext,
): Promise<ImageTarget> {
  if (poolId === '') return { jobId, base, directory, fileName }
  const { guard } = await pools.require(poolId, ctx)
  if (guard === undefined || !isInside(guard.root, directory)) {
    throw new AgentError('SOURCE_REFUSED', `pool ${poolId} no longer has the directory ${directory}`)
  }
  return { jobId, base: guard.root, guard, directory, fileName }
}
