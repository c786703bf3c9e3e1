import { lstatSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { setImmediate } from 'node:timers/promises'
import { AgentError } from '../../core/errors.ts'
import type { PoolFile } from '../../core/model.ts'
import type { WorkerCall } from '../../platform/workers.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { MARKER_FILE, RECORDS_DIRECTORY } from '../pool-marker.ts'
import { errnoOf, poolError } from './errno.ts'
import { at, openDirectory, openPool } from './pool-root.ts'

/** Entries per turn of the worker's loop and per message to the main process: short enough for neither to stall. */
const BATCH = 1_000

interface Keyed {
  readonly key: string
  readonly file: PoolFile
}

/**
 * Lists a directory of a pool in the order of the contract (directories first, then by name without regard to case) and sends it in batches of PoolFile[] as
 * events. Answers the number of entries. Errors: those of openPool and openDirectory, LISTING_TOO_LARGE past `limit`.
 */
export async function listDirectory(
  params: { guard: PoolGuard; components: readonly string[]; limit: number },
  call: WorkerCall,
): Promise<number> {
  await using root = await openPool(params.guard)
  await using directory = await openDirectory(root, params.components)
  const prefix = params.components.length === 0 ? '' : `${params.components.join('/')}/`
  const names = (await readdir(at(directory, '.'))).filter((name) => prefix !== '' || !isOwn(name))
  if (names.length > params.limit) {
    throw new AgentError(
      'LISTING_TOO_LARGE',
      `the directory has ${names.length} entries, more than the ${params.limit} one answer may carry`,
    )
  }
  const entries: Keyed[] = []
  for (let start = 0; start < names.length; start += BATCH) {
    for (const name of names.slice(start, start + BATCH)) {
      const file = describe(at(directory, name), name, prefix)
      if (file !== undefined) entries.push({ key: sortKey(file), file })
    }
    await setImmediate()
    call.signal.throwIfAborted()
  }
  entries.sort((a, b) => (a.key < b.key ? -1 : a.key > b.key ? 1 : a.file.name < b.file.name ? -1 : 1))
  for (let start = 0; start < entries.length; start += BATCH) {
    call.emit(entries.slice(start, start + BATCH).map((entry) => entry.file))
    await setImmediate()
    call.signal.throwIfAborted()
  }
  return entries.length
}

// Synchronous on purpose: this process exists to block, and one call through libuv's pool costs ten times the system call.
function describe(path: string, name: string, prefix: string): PoolFile | undefined {
  try {
    const stat = lstatSync(path)
    const isDirectory = stat.isDirectory()
    return {
      name,
      path: `${prefix}${name}`,
      isDirectory,
      sizeBytes: isDirectory ? 0 : stat.size,
      modifiedAt: Math.trunc(stat.mtimeMs),
      fileType: isDirectory ? 'directory' : stat.isSymbolicLink() ? 'symlink' : extension(name),
      permissions: (stat.mode & 0o7777).toString(8),
    }
  } catch (error) {
    // Removed between readdir and lstat.
    if (errnoOf(error) === 'ENOENT') return undefined
    throw poolError(error, `${prefix}${name}`)
  }
}

function sortKey(file: PoolFile): string {
  return `${file.isDirectory ? '0' : '1'}${file.name.toLowerCase()}`
}

function extension(name: string): string {
  const dot = name.lastIndexOf('.')
  return dot <= 0 ? '' : name.slice(dot + 1).toLowerCase()
}

function isOwn(name: string): boolean {
  return name === MARKER_FILE || name === RECORDS_DIRECTORY
}
