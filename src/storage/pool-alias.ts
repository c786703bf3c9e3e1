import { relative } from 'node:path'
import { isInside } from '../platform/files.ts'

/** Directory names below `<aliases>/<poolId>` that stand for the root of the pool. */
const ROOT_NAME = 'images'

/**
 * Reads a path that the control plane makes up for pools whose directory it does not know: `<aliases>/<poolId>/images/<relative>` (contract 2.1.3). Undefined for any
 * other path. Pure: nothing needs to be there.
 */
export function readAlias(aliases: string, path: string): { poolId: string; relative: string } | undefined {
  if (!isInside(aliases, path)) return undefined
  const [poolId, name, ...rest] = relative(aliases, path).split('/')
  if (poolId === undefined || poolId === '' || name !== ROOT_NAME) return undefined
  return { poolId, relative: rest.join('/') }
}

/** The path that `readAlias` reads: how the agent names a place in a pool without a directory. */
export function aliasPath(aliases: string, poolId: string, relative: string): string {
  return [aliases, poolId, ROOT_NAME, ...(relative === '' ? [] : [relative])].join('/')
}
