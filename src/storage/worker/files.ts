import { lstat, readdir, readFile, readlink, rename, rm } from 'node:fs/promises'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { MARKER_FILE, RECORDS_DIRECTORY } from '../pool-marker.ts'
import { errnoOf, poolError } from './errno.ts'
import { at, makeDirectories, openDirectory, openPool } from './pool-root.ts'

/** One entry as lstat(2) sees it; times in ms since the epoch. */
export interface EntryFacts {
  readonly type: 'file' | 'directory' | 'symlink' | 'other'
  readonly sizeBytes: number
  readonly allocatedBytes: number
  readonly mode: number
  readonly modifiedAt: number
}

interface InPool {
  readonly guard: PoolGuard
  /** Relative path, split and checked (splitRelative). */
  readonly components: readonly string[]
}

/** Facts about one entry of a pool, or undefined when it is missing. */
export async function statEntry(params: InPool): Promise<EntryFacts | undefined> {
  await using root = await openPool(params.guard)
  const [parents, name] = split(params.components)
  try {
    await using directory = await openDirectory(root, parents)
    const stat = await lstat(at(directory, name))
    const type = stat.isFile() ? 'file' : stat.isDirectory() ? 'directory' : stat.isSymbolicLink() ? 'symlink' : 'other'
    return {
      type,
      sizeBytes: stat.size,
      allocatedBytes: stat.blocks * 512,
      mode: stat.mode & 0o7777,
      modifiedAt: Math.trunc(stat.mtimeMs),
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || (error instanceof AgentError && error.reason === 'FILE_NOT_FOUND')) {
      return undefined
    }
    throw poolError(error, params.components.join('/'))
  }
}

/** Makes a directory and its parents (0711). */
export async function makeDirectory(params: InPool): Promise<void> {
  refuseOwn(params.components)
  await using root = await openPool(params.guard)
  await using directory = await makeDirectories(root, params.components, [])
  await directory.sync()
}

/** Removes one file, never a directory; false when it is missing. */
export async function removeFileIn(params: InPool): Promise<boolean> {
  refuseOwn(params.components)
  await using root = await openPool(params.guard)
  const [parents, name] = split(params.components)
  try {
    await using directory = await openDirectory(root, parents)
    await rm(at(directory, name))
    await directory.sync()
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || (error instanceof AgentError && error.reason === 'FILE_NOT_FOUND')) return false
    throw poolError(error, params.components.join('/'))
  }
}

/** Renames a file or directory within the pool, durably; replaces a file in the new place. */
export async function renameIn(params: InPool & { to: readonly string[] }): Promise<void> {
  refuseOwn(params.components)
  refuseOwn(params.to)
  await using root = await openPool(params.guard)
  const [fromParents, fromName] = split(params.components)
  const [toParents, toName] = split(params.to)
  await using from = await openDirectory(root, fromParents)
  await using to = await openDirectory(root, toParents)
  try {
    await rename(at(from, fromName), at(to, toName))
    await to.sync()
    await from.sync()
  } catch (error) {
    throw poolError(error, params.components.join('/'))
  }
}

/** Makes renames and removals in a directory durable. */
export async function syncDirectoryIn(params: InPool): Promise<void> {
  await using root = await openPool(params.guard)
  await using directory = await openDirectory(root, params.components)
  await directory.sync()
}

/** Processes with open files or their working directory below `root`, as `name (pid n)`; read from /proc alone, without touching the pool. `except`: pids to leave out. */
export async function processesUsing(params: { root: string; except: readonly number[] }): Promise<string[]> {
  const found: string[] = []
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    if (params.except.includes(Number(pid)) || Number(pid) === process.pid) continue
    if (await holdsFileBelow(pid, params.root)) found.push(`process ${await processName(pid)} (pid ${pid})`)
  }
  return found
}

async function holdsFileBelow(pid: string, root: string): Promise<boolean> {
  const prefix = `${root}/`
  // Processes end while we look at them.
  const files = (await readdir(`/proc/${pid}/fd`).catch(() => [])).map((fd) => `fd/${fd}`)
  for (const link of ['cwd', 'root', ...files]) {
    const target = await readlink(`/proc/${pid}/${link}`).catch(() => '')
    if (target === root || target.startsWith(prefix)) return true
  }
  return false
}

async function processName(pid: string): Promise<string> {
  return (await readFile(`/proc/${pid}/comm`, 'utf8').catch(() => 'unknown')).trim()
}

function split(components: readonly string[]): [parents: readonly string[], name: string] {
  const name = components.at(-1)
  if (name === undefined) throw new AgentError('INVALID_PATH', 'the root of the pool is not meant here')
  return [components.slice(0, -1), name]
}

function refuseOwn(components: readonly string[]): void {
  if (components[0] === RECORDS_DIRECTORY || components[0] === MARKER_FILE) {
    throw new AgentError('INVALID_PATH', `path ${quote(components.join('/'))} belongs to the agent`)
  }
}
