import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { AgentError, toAgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { splitRelative } from '../platform/files.ts'
import type { DomainDeps } from './deps.ts'
import { lookAt } from './disk-chain.ts'
import { findNamedPlace } from './named-place.ts'

/** What finding an ISO needs. */
export type IsoDeps = Pick<DomainDeps, 'pools' | 'media' | 'config'>

/**
 * The file that a request means by an ISO path (contract 4.2). An absolute path is taken as it is (it may be below the alias of a pool); a relative one, such as `iso/<file>`, is looked for below
 * the pools `poolIds` (of the VM's own disks), then below all other pools, then below the directories of images: as given, then the bare file in the root, `iso` and `isos`. `what` names
 * the drive in errors: FILE_NOT_FOUND, INVALID_PATH, POOL_*, and what a pool that could not be asked said when no other has the file.
 */
export async function findIso(
  isoPath: string,
  what: string,
  poolIds: readonly string[],
  deps: IsoDeps,
  ctx: OpContext,
): Promise<string> {
  if (isoPath.startsWith('/')) {
    const place = await findNamedPlace(isoPath, deps, ctx)
    // A drive takes a file; pools of volumes have none.
    if (place.type === 'path' && (await lookAt(place.path, what, deps, ctx)) === 'file') return place.path
    throw missing(isoPath, what)
  }
  const parts = splitRelative(isoPath)
  const { roots, failure: unasked } = await rootsOf(poolIds, deps, ctx)
  let failure = unasked
  for (const root of roots) {
    try {
      for (const file of namesBelow(root, parts)) {
        if ((await lookAt(file, what, deps, ctx)) === 'file') return file
      }
    } catch (error) {
      ctx.signal.throwIfAborted()
      // A pool that hangs must not hide a file of another one.
      failure ??= error
    }
  }
  throw failure === undefined ? missing(isoPath, what) : toAgentError(failure)
}

async function rootsOf(
  poolIds: readonly string[],
  { pools, config }: IsoDeps,
  ctx: OpContext,
): Promise<{ roots: Set<string>; failure: unknown }> {
  const roots: string[] = []
  let failure: unknown
  for (const poolId of new Set(poolIds)) {
    try {
      roots.push((await pools.require(poolId, ctx)).backend.mountPath)
    } catch (error) {
      ctx.signal.throwIfAborted()
      failure ??= error
    }
  }
  roots.push(...pools.active().map(({ backend }) => backend.mountPath), ...config.imageRoots)
  return { roots: new Set(roots.filter((root) => root !== '')), failure }
}

function namesBelow(root: string, parts: readonly string[]): Set<string> {
  const file = parts.at(-1) ?? ''
  return new Set([
    path.join(root, ...parts),
    path.join(root, file),
    path.join(root, 'iso', file),
    path.join(root, 'isos', file),
  ])
}

function missing(isoPath: string, what: string): AgentError {
  return new AgentError('FILE_NOT_FOUND', `${what}: the ISO ${quote(isoPath)} is missing on this host`)
}
