import { constants, readFileSync } from 'node:fs'
import { lstat, mkdir, open, readFile, type FileHandle } from 'node:fs/promises'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { parseMountInfo, type MountEntry } from '../../platform/mounts.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { MARKER_FILE, parseMarker, type PoolMarker } from '../pool-marker.ts'
import { errnoOf, poolError } from './errno.ts'

const { O_DIRECTORY, O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** Mode of directories the agent makes in pools: QEMU runs as another user and has to pass through, without being able to list. */
export const DIRECTORY_MODE = 0o711

/**
 * `name` inside an open directory. The kernel resolves it from the handle, so that a path swapped or unmounted meanwhile does not lead elsewhere: the openat(2)
 * that Node lacks.
 */
export function at(directory: FileHandle, name: string): string {
  return `/proc/self/fd/${directory.fd}/${name}`
}

/** The mount that `path`, opened as `handle`, is on, from /proc; does not touch the file system itself. POOL_IDENTITY_MISMATCH when it was unmounted since. */
export function mountOfHandle(handle: FileHandle, path: string): MountEntry {
  const id = mountIdOf(handle)
  // Read after the open: the entry of an open file's mount is there until the last handle is closed or the mount is detached.
  const entry = parseMountInfo(readFileSync('/proc/self/mountinfo', 'utf8')).find((mount) => mount.mountId === id)
  if (entry === undefined)
    throw new AgentError('POOL_IDENTITY_MISMATCH', `what was mounted at ${path} was unmounted while it was in use`)
  return entry
}

/** mountinfo id of an open file. */
export function mountIdOf(handle: FileHandle): number {
  const match = /^mnt_id:\s*(\d+)$/m.exec(readFileSync(`/proc/self/fdinfo/${handle.fd}`, 'utf8'))
  if (match === null) throw new AgentError('INTERNAL', 'the kernel does not tell the mount of an open file')
  return Number(match[1])
}

/**
 * The root directory of a pool, after the check that it is on the mount of its activation and carries our marker. Close it (`await using`). Errors:
 * POOL_PATH_MISSING, POOL_IDENTITY_MISMATCH, POOL_IO_ERROR.
 */
export async function openPool(guard: PoolGuard): Promise<FileHandle> {
  const root = await openRoot(guard.root)
  try {
    const mount = mountOfHandle(root, guard.root)
    if (mount.mountId !== guard.mountId || mount.device !== guard.device) {
      throw new AgentError(
        'POOL_IDENTITY_MISMATCH',
        `${guard.root} is on another mount (${mount.source} at ${mount.mountPoint}) than when pool ${guard.poolId} was activated`,
      )
    }
    checkMarker(await readMarker(root), guard.root, guard.poolId, guard.generation)
    return root
  } catch (error) {
    await root.close()
    throw poolError(error, guard.root)
  }
}

/** Opens a directory that is to be a pool root. POOL_PATH_MISSING when there is none. */
export async function openRoot(path: string): Promise<FileHandle> {
  try {
    return await open(path, O_RDONLY | O_DIRECTORY)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT') {
      throw new AgentError('POOL_PATH_MISSING', `the pool directory ${path} is missing; mount or restore it`)
    }
    if (errno === 'ENOTDIR') throw new AgentError('POOL_PATH_MISSING', `${path} is not a directory`)
    throw poolError(error, path)
  }
}

/** The marker in an open pool root, or undefined when there is none that can be understood. */
export async function readMarker(root: FileHandle): Promise<PoolMarker | undefined> {
  let file: FileHandle
  try {
    file = await open(at(root, MARKER_FILE), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw poolError(error, MARKER_FILE)
    // Removed on the server under our mount, which some servers tell by this alone.
    if ((await root.stat()).nlink === 0) {
      throw new AgentError('POOL_STALE', 'the directory of the pool was removed on the server')
    }
    return undefined
  }
  await using marker = file
  return parseMarker(await readFile(marker, 'utf8'))
}

/** POOL_IDENTITY_MISMATCH unless `marker` is that of the pool (and of the generation, when one is given). */
export function checkMarker(marker: PoolMarker | undefined, root: string, poolId: string, generation?: string): void {
  if (marker === undefined) {
    throw new AgentError(
      'POOL_IDENTITY_MISMATCH',
      `${root} has no marker of pool ${poolId}; the file system that holds the pool is probably not mounted there`,
    )
  }
  if (marker.poolId !== poolId) {
    throw new AgentError(
      'POOL_IDENTITY_MISMATCH',
      `${root} holds pool ${marker.poolId}, not pool ${poolId}; if that one is given up on every host, remove the file ${MARKER_FILE} there`,
    )
  }
  if (generation !== undefined && marker.generation !== generation) {
    throw new AgentError(
      'POOL_IDENTITY_MISMATCH',
      `${root} holds another generation of pool ${poolId} than the one that was initialised on this host`,
    )
  }
}

/**
 * A directory below `root`, opened component by component: no symbolic link is followed and no other mount entered. Close it. Errors: FILE_NOT_FOUND,
 * FILE_NOT_DIRECTORY, INVALID_PATH.
 */
export async function openDirectory(root: FileHandle, components: readonly string[]): Promise<FileHandle> {
  return walk(root, components, () => undefined)
}

/** Like `openDirectory`, making what is missing (0711). `made` gets the relative path of every directory that was made, outermost first. */
export async function makeDirectories(
  root: FileHandle,
  components: readonly string[],
  made: string[],
): Promise<FileHandle> {
  return walk(root, components, async (parent, index) => {
    const relative = components.slice(0, index + 1).join('/')
    try {
      await mkdir(at(parent, components[index] ?? ''), { mode: DIRECTORY_MODE })
      made.push(relative)
      await parent.sync()
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw poolError(error, relative)
    }
  })
}

async function walk(
  root: FileHandle,
  components: readonly string[],
  prepare: (parent: FileHandle, index: number) => Promise<void> | undefined,
): Promise<FileHandle> {
  const mountId = mountIdOf(root)
  let current = await open(`/proc/self/fd/${root.fd}/.`, O_RDONLY | O_DIRECTORY)
  try {
    for (const [index, name] of components.entries()) {
      await prepare(current, index)
      const next = await openComponent(current, name, components.slice(0, index + 1).join('/'))
      await current.close()
      current = next
      if (mountIdOf(current) !== mountId) {
        throw new AgentError('INVALID_PATH', `path ${quote(components.join('/'))} leads into another mount`)
      }
    }
    return current
  } catch (error) {
    await current.close()
    throw error
  }
}

async function openComponent(parent: FileHandle, name: string, relative: string): Promise<FileHandle> {
  try {
    return await open(at(parent, name), O_RDONLY | O_DIRECTORY | O_NOFOLLOW)
  } catch (error) {
    // O_DIRECTORY|O_NOFOLLOW answers ENOTDIR for files and links alike.
    const errno = errnoOf(error)
    const link = errno === 'ELOOP' || (errno === 'ENOTDIR' && (await lstat(at(parent, name))).isSymbolicLink())
    if (link) throw new AgentError('INVALID_PATH', `path ${quote(relative)} is a symbolic link, which is not followed`)
    if (errno === 'ENOENT') throw new AgentError('FILE_NOT_FOUND', `path ${quote(relative)} is missing in the pool`)
    if (errno === 'ENOTDIR') throw new AgentError('FILE_NOT_DIRECTORY', `path ${quote(relative)} is not a directory`)
    throw poolError(error, relative)
  }
}
