import { link, lstat, mkdir, rename, rmdir, unlink, type FileHandle } from 'node:fs/promises'
import type { Stats } from 'node:fs'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { manifestPath } from '../../images/manifest.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { splitEntry } from './entry-path.ts'
import { errnoOf, poolError } from './errno.ts'
import { isImageExtension, lookIntoFile } from './file-type.ts'
import { at, DIRECTORY_MODE, openDirectory, openPool } from './pool-root.ts'
import { refuseUsed } from './protection.ts'

/** An entry that somebody wants to change, for the question who uses it. */
export interface EntryFacts {
  readonly type: 'file' | 'directory' | 'symlink' | 'special'
  /** By content and name; may be the backing file of somebody's overlay. */
  readonly isImage: boolean
}

interface InPool {
  readonly guard: PoolGuard
  /** Relative path, split and checked (splitRelative). */
  readonly components: readonly string[]
}

/** Facts about an entry that may be changed, or undefined when it is missing. INVALID_PATH for the agent's own files. */
export async function statEntry({ guard, components }: InPool): Promise<EntryFacts | undefined> {
  const [parents, name] = splitEntry(components)
  await using root = await openPool(guard)
  try {
    await using directory = await openDirectory(root, parents)
    const stat = await factsAt(directory, name, components)
    if (stat === undefined) return undefined
    if (stat.isDirectory()) return { type: 'directory', isImage: false }
    if (stat.isSymbolicLink()) return { type: 'symlink', isImage: false }
    if (!stat.isFile()) return { type: 'special', isImage: false }
    const type = lookIntoFile(at(directory, name), name) ?? ''
    return { type: 'file', isImage: type !== 'iso' && isImageExtension(type) }
  } catch (error) {
    if (isAgentError(error, 'FILE_NOT_FOUND')) return undefined
    throw error
  }
}

/** Makes one directory (0711) in a directory that is there. FILE_CONFLICT when something else has the name. */
export async function makeDirectory({ guard, components }: InPool): Promise<'made' | 'already-there'> {
  const [parents, name] = splitEntry(components)
  await using root = await openPool(guard)
  await using directory = await openDirectory(root, parents)
  try {
    await mkdir(at(directory, name), { mode: DIRECTORY_MODE })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw poolError(error, components.join('/'))
    if ((await factsAt(directory, name, components))?.isDirectory() === true) return 'already-there'
    throw taken(components)
  }
  await directory.sync()
  return 'made'
}

/** Removes one file, link or empty directory, durably. Errors: DIRECTORY_NOT_EMPTY, FILE_IN_USE (protection.ts). */
export async function deleteEntry(params: InPool & { node: string }): Promise<'deleted' | 'already-deleted'> {
  const { guard, components, node } = params
  const [parents, name] = splitEntry(components)
  await using root = await openPool(guard)
  try {
    await using parent = await openDirectory(root, parents)
    const stat = await factsAt(parent, name, components)
    if (stat === undefined) return 'already-deleted'
    if (stat.isDirectory()) await rmdir(at(parent, name))
    else {
      await refuseUsed({ guard, root, parent, components, node })
      await unlink(at(parent, name))
      await unlink(at(parent, sidecar(name))).catch(unlessMissing)
    }
    await parent.sync()
    return 'deleted'
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || isAgentError(error, 'FILE_NOT_FOUND')) return 'already-deleted'
    throw poolError(error, components.join('/'))
  }
}

/**
 * Renames or moves an entry within its pool, durably, and never replaces anything. A file has both names for a moment: interrupted there, the same request again
 * completes it. Errors: FILE_NOT_FOUND, FILE_CONFLICT, FILE_IN_USE, INVALID_PATH for a directory that would go into itself.
 */
export async function renameEntry(params: InPool & { to: readonly string[]; node: string }): Promise<void> {
  const { guard, components, to, node } = params
  const [fromParents, fromName] = splitEntry(components)
  const [toParents, toName] = splitEntry(to)
  const what = components.join('/')
  await using root = await openPool(guard)
  await using parent = await openDirectory(root, fromParents)
  await using target = await openDirectory(root, toParents)
  const stat = await factsAt(parent, fromName, components)
  if (stat === undefined) throw new AgentError('FILE_NOT_FOUND', `path ${quote(what)} is missing in the pool`)
  if (what === to.join('/')) return
  if (to.length > components.length && components.every((part, index) => part === to[index])) {
    throw new AgentError('INVALID_PATH', `path ${quote(to.join('/'))} is inside ${quote(what)}`)
  }
  await refuseUsed({ guard, root, parent, components, node })
  try {
    const present = await factsAt(target, toName, to)
    if (present !== undefined && (stat.isDirectory() || present.ino !== stat.ino)) throw taken(to)
    if (stat.isDirectory()) {
      // The kernel replaces nothing but an empty directory here, should one appear in between.
      await rename(at(parent, fromName), at(target, toName))
    } else {
      if (present === undefined) await link(at(parent, fromName), at(target, toName))
      await target.sync()
      await unlink(at(parent, fromName))
      await rename(at(parent, sidecar(fromName)), at(target, sidecar(toName))).catch(unlessMissing)
    }
    await target.sync()
    await parent.sync()
  } catch (error) {
    if (['EEXIST', 'ENOTEMPTY', 'ENOTDIR'].includes(errnoOf(error) ?? '')) throw taken(to)
    throw poolError(error, what)
  }
}

// What a download wrote about an image goes with it.
function sidecar(name: string): string {
  return manifestPath(name)
}

async function factsAt(directory: FileHandle, name: string, path: readonly string[]): Promise<Stats | undefined> {
  try {
    return await lstat(at(directory, name))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw poolError(error, path.join('/'))
  }
}

function taken(components: readonly string[]): AgentError {
  const path = quote(components.join('/'))
  return new AgentError('FILE_CONFLICT', `something is at ${path}, and nothing is replaced; choose another name`)
}

function unlessMissing(error: unknown): void {
  if (errnoOf(error) !== 'ENOENT') throw error
}
