import { randomUUID } from 'node:crypto'
import { mkdir, realpath, rm, rmdir, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { AgentError } from '../../core/errors.ts'
import type { PoolKind } from '../../core/model.ts'
import { isInside } from '../../platform/files.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { MARKER_FILE, type PoolMarker } from '../pool-marker.ts'
import { forbiddenPoolPath } from '../pool-path.ts'
import { sweepClaims } from './claims.ts'
import { errnoOf, poolError } from './errno.ts'
import { at, checkMarker, mountIdOf, mountOfHandle, openPool, openRoot, readMarker } from './pool-root.ts'
import { removeEmptyRecords, writeDurably } from './records.ts'

/** What a pool directory is claimed with. `reserved`: directories no pool may be, contain or lie in. */
export interface SetupParams {
  readonly root: string
  readonly poolId: string
  readonly kind: PoolKind
  readonly node: string
  readonly reserved: readonly string[]
  /** mountinfo id the root must be on; without it any mount will do. */
  readonly mountId?: number
}

/**
 * First use of a pool directory: makes it when missing (0711), refuses forbidden places and those of other pools, writes the marker, and takes up unfinished
 * work. A directory with our marker is taken as it is. What was made goes again on failure. Errors: POOL_CONFIG_INVALID, POOL_PATH_CONFLICT,
 * POOL_IDENTITY_MISMATCH, POOL_NOT_WRITABLE, POOL_FULL.
 */
export async function initialisePool(params: SetupParams): Promise<PoolGuard> {
  const target = await realTarget(params.root)
  refusePath(params, target)
  await refuseNested(params, path.dirname(target))
  const made = await makeMissing(params.root)
  let wroteMarker = false
  try {
    await using root = await openRoot(params.root)
    checkMount(root, params)
    let marker = await readMarker(root)
    if (marker === undefined) {
      marker = newMarker(params, made !== undefined)
      wroteMarker = await writeDurably(root, MARKER_FILE, `${JSON.stringify(marker)}\n`, 0o644, true)
      // Another host was first on shared storage, or a damaged file is there.
      if (!wroteMarker) marker = await readMarker(root)
    }
    checkMarker(marker, params.root, params.poolId)
    await sweepClaims(root, params.node)
    return guardOf(root, params.root, params.poolId, marker)
  } catch (error) {
    await undo(params.root, wroteMarker, made)
    throw poolError(error, params.root)
  }
}

/** Later use of a pool directory, which must be there with its marker. Errors: POOL_PATH_MISSING, POOL_IDENTITY_MISMATCH. */
export async function resumePool(params: SetupParams & { generation?: string }): Promise<PoolGuard> {
  refusePath(params, await realTarget(params.root))
  await using root = await openRoot(params.root)
  checkMount(root, params)
  const marker = await readMarker(root).catch((error: unknown) => {
    throw poolError(error, params.root)
  })
  checkMarker(marker, params.root, params.poolId, params.generation)
  try {
    await sweepClaims(root, params.node)
  } catch (error) {
    // A full or read-only pool still serves its volumes; the probe reports it.
    if (!['POOL_FULL', 'POOL_NOT_WRITABLE'].includes(poolError(error, params.root).reason)) throw error
  }
  return guardOf(root, params.root, params.poolId, marker)
}

/** The marker in a directory, or undefined when there is no directory or no marker. */
export async function markerIn(params: { root: string }): Promise<PoolMarker | undefined> {
  try {
    await using root = await openRoot(params.root)
    return await readMarker(root)
  } catch (error) {
    if (error instanceof AgentError && error.reason === 'POOL_PATH_MISSING') return undefined
    throw error
  }
}

/** Removes marker and empty bookkeeping of a destroyed pool, and the directory if the agent made it and it is empty. Data stays. */
export async function retirePool(params: { guard: PoolGuard }): Promise<void> {
  let marker: PoolMarker | undefined
  {
    await using root = await openPool(params.guard)
    marker = await readMarker(root)
    await removeEmptyRecords(root)
    await rm(at(root, MARKER_FILE), { force: true })
    await root.sync()
  }
  if (marker?.madeDirectory !== true) return
  try {
    await rmdir(params.guard.root)
  } catch (error) {
    if (!['ENOTEMPTY', 'EBUSY', 'ENOENT', 'EEXIST'].includes(errnoOf(error) ?? ''))
      throw poolError(error, params.guard.root)
  }
}

function guardOf(root: FileHandle, rootPath: string, poolId: string, marker: PoolMarker | undefined): PoolGuard {
  const mount = mountOfHandle(root, rootPath)
  return {
    root: rootPath,
    poolId,
    generation: marker?.generation ?? '',
    mountId: mount.mountId,
    device: mount.device,
  }
}

function checkMount(root: FileHandle, { root: path, poolId, mountId }: SetupParams): void {
  if (mountId === undefined || mountIdOf(root) === mountId) return
  throw new AgentError('POOL_IDENTITY_MISMATCH', `what was mounted at ${path} for pool ${poolId} is not there any more`)
}

function newMarker(params: SetupParams, madeDirectory: boolean): PoolMarker {
  return { version: 1, poolId: params.poolId, generation: randomUUID(), kind: params.kind, madeDirectory }
}

function refusePath(params: SetupParams, real: string): void {
  const why = forbiddenPoolPath(real, params.reserved)
  if (why !== undefined) throw new AgentError('POOL_CONFIG_INVALID', `path ${params.root} ${why}`)
}

// Markers on the way up show pools that the text of the paths hides behind symbolic links.
async function refuseNested(params: SetupParams, parent: string): Promise<void> {
  for (let directory = parent; directory !== '/'; directory = path.dirname(directory)) {
    const marker = await markerIn({ root: directory })
    if (marker !== undefined && marker.poolId !== params.poolId) {
      throw new AgentError('POOL_PATH_CONFLICT', `${params.root} lies inside pool ${marker.poolId} at ${directory}`)
    }
  }
}

// Where the path leads once its missing components are made.
async function realTarget(root: string): Promise<string> {
  for (let present = root; ; present = path.dirname(present)) {
    try {
      return path.join(await realpath(present), path.relative(present, root))
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || present === '/') throw poolError(error, root)
    }
  }
}

// Answers the outermost directory that was made.
async function makeMissing(root: string): Promise<string | undefined> {
  try {
    const first = await mkdir(path.dirname(root), { recursive: true, mode: 0o755 })
    try {
      await mkdir(root, { mode: 0o711 })
    } catch (error) {
      if (errnoOf(error) === 'EEXIST') return undefined
      throw error
    }
    return first ?? root
  } catch (error) {
    throw poolError(error, root)
  }
}

async function undo(root: string, wroteMarker: boolean, made: string | undefined): Promise<void> {
  if (wroteMarker) {
    await using handle = await openRoot(root)
    await rm(at(handle, MARKER_FILE), { force: true })
    await removeEmptyRecords(handle)
  }
  if (made === undefined) return
  // Only empty directories go; rmdir refuses the rest.
  for (let directory = root; isInside(made, directory); directory = path.dirname(directory)) {
    try {
      await rmdir(directory)
    } catch {
      return
    }
  }
}
