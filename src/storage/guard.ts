import { lstat, readFile } from 'node:fs/promises'
import path from 'node:path'
import { AgentError, errorText } from '../core/errors.ts'
import { mountOf, readMounts, type MountEntry } from '../platform/mounts.ts'
import type { PoolGuard } from './pool-guard.ts'

/** Name of the file in a pool's root that tells whose storage it is. */
export const POOL_MARKER = '.limiquantix-pool.json'

/** Content of the marker: the pool and the initialisation it belongs to. */
export interface PoolMarker {
  readonly poolId: string
  readonly generation: string
}

/**
 * Throws unless the pool's root is on the mount it was on at activation and carries the marker of this pool and generation. For worker processes only: it reads
 * the pool. Mount facts come first, so that a vanished mount is told without touching what lies below. Errors: POOL_PATH_MISSING, POOL_IDENTITY_MISMATCH.
 */
export async function checkGuard(guard: PoolGuard, mounts?: readonly MountEntry[]): Promise<void> {
  const mount = mountOf(mounts ?? (await readMounts()), guard.root)
  if (mount === undefined || mount.mountId !== guard.mountId || mount.device !== guard.device) {
    throw new AgentError(
      'POOL_IDENTITY_MISMATCH',
      `pool ${guard.poolId}: ${guard.root} is on another mount (${mount?.device ?? 'none'}) than when the pool was activated (${guard.device})`,
    )
  }
  const root = await lstat(guard.root).catch((error: unknown) => missing(guard, error))
  if (!root.isDirectory()) return missing(guard, new Error('not a directory'))
  const text = await readFile(path.join(guard.root, POOL_MARKER), 'utf8').catch(() => '')
  const marker = parseMarker(text)
  if (marker?.poolId !== guard.poolId || marker.generation !== guard.generation) {
    throw new AgentError(
      'POOL_IDENTITY_MISMATCH',
      `pool ${guard.poolId}: ${guard.root} ${marker === undefined ? 'has no pool marker' : 'carries the marker of another pool or initialisation'}; is its storage mounted?`,
    )
  }
}

/** The marker in `text`, or undefined when it is not one. */
export function parseMarker(text: string): PoolMarker | undefined {
  try {
    const value = JSON.parse(text) as Partial<PoolMarker> | null
    if (typeof value?.poolId === 'string' && typeof value.generation === 'string') return value as PoolMarker
  } catch {
    return undefined
  }
  return undefined
}

function missing(guard: PoolGuard, error: unknown): never {
  throw new AgentError('POOL_PATH_MISSING', `pool ${guard.poolId}: ${guard.root} is gone: ${errorText(error)}`, {
    cause: error,
  })
}
