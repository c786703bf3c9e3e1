import { constants } from 'node:fs'
import { open, readdir, readFile, rm, stat, type FileHandle } from 'node:fs/promises'
import { MIB } from '../../core/bytes.ts'
import { isAgentError } from '../../core/errors.ts'
import { TEMP_SUFFIX } from '../../platform/files.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { BACKUPS_DIRECTORY, RECORDS_DIRECTORY } from '../pool-marker.ts'
import { errnoOf, poolError } from './errno.ts'
import { at, makeDirectories, openDirectory, openPool } from './pool-root.ts'
import { recordedNames, writeDurably } from './records.ts'

/** A manifest as it is in the pool; `text` is undefined when it cannot be read, and `problem` says why. */
export interface ManifestFile {
  readonly name: string
  readonly text: string | undefined
  readonly problem: string
  /** With `problem`: it cannot be read now (EIO, ESTALE …), and nothing says that it is damaged. */
  readonly passing: boolean
}

/** Some of the manifests; more come after the name `next`, if there is one. */
export interface ManifestPage {
  readonly files: readonly ManifestFile[]
  readonly next?: string
}

/** What is called like a part of some backup. */
export interface BackupNames {
  readonly manifests: readonly string[]
  /** All volumes that have a record, backups or not. */
  readonly volumes: readonly string[]
}

const DIRECTORY = [RECORDS_DIRECTORY, BACKUPS_DIRECTORY] as const
const SUFFIX = '.json'
/** No definition of a VM comes near this. */
const LARGEST_BYTES = 4 * MIB
/** One answer: it is a message to another process, and has a deadline. One manifest is in it at least. */
const PAGE_BYTES = 4 * MIB
const PAGE_MS = 5_000
/** The manifest is not one that the agent wrote, or not for the agent. */
const LASTING: readonly string[] = ['ELOOP', 'EISDIR', 'EACCES', 'EPERM']
/** No write takes so long: what is older was left by a worker that was killed. */
const ABANDONED_MS = 60 * 60_000

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** Some of the manifests in a pool whose names begin with `prefix`, sorted by name, those after `after` (names of an earlier page); none where there never was one. One that cannot be read hides no other. Errors of all: those of `openPool`. */
export async function readBackupManifests(params: {
  guard: PoolGuard
  prefix: string
  after?: string
}): Promise<ManifestPage> {
  const { guard, prefix, after } = params
  await using root = await openPool(guard)
  const began = performance.now()
  const found: ManifestFile[] = []
  let bytes = 0
  try {
    await using directory = await openDirectory(root, DIRECTORY)
    for (const name of await manifestNames(directory)) {
      if (!name.startsWith(prefix) || (after !== undefined && name <= after)) continue
      const manifest = await readManifest(directory, name)
      if (manifest === undefined) continue
      found.push(manifest)
      bytes += manifest.text?.length ?? 0
      if (bytes >= PAGE_BYTES || performance.now() - began > PAGE_MS) return { files: found, next: name }
    }
    return { files: found }
  } catch (error) {
    if (isAgentError(error, 'FILE_NOT_FOUND')) return { files: [] }
    throw error
  }
}

/** Names of the manifests in a pool and of its volumes, from their directories alone: nothing is read. Errors: those of `openPool`. */
export async function listBackupNames(params: { guard: PoolGuard }): Promise<BackupNames> {
  await using root = await openPool(params.guard)
  try {
    await using directory = await openDirectory(root, DIRECTORY)
    return { manifests: await manifestNames(directory), volumes: await recordedNames(root) }
  } catch (error) {
    if (isAgentError(error, 'FILE_NOT_FOUND')) return { manifests: [], volumes: await recordedNames(root) }
    throw error
  }
}

/** Writes or replaces a manifest: whole and durable, or as it was before. */
export async function writeBackupManifest(params: { guard: PoolGuard; name: string; text: string }): Promise<void> {
  await using root = await openPool(params.guard)
  await using directory = await makeDirectories(root, DIRECTORY, [])
  await removeAbandoned(directory)
  await writeDurably(directory, `${params.name}${SUFFIX}`, params.text, 0o600, false)
}

/** Removes a manifest durably; success when it is gone. */
export async function removeBackupManifest(params: { guard: PoolGuard; name: string }): Promise<void> {
  await using root = await openPool(params.guard)
  const file = `${params.name}${SUFFIX}`
  try {
    await using directory = await openDirectory(root, DIRECTORY)
    await rm(at(directory, file), { force: true })
    await directory.sync()
  } catch (error) {
    if (!isAgentError(error, 'FILE_NOT_FOUND')) throw poolError(error, file)
  }
}

async function manifestNames(directory: FileHandle): Promise<string[]> {
  const files = await readdir(at(directory, '.')).catch((error: unknown) => {
    throw poolError(error, DIRECTORY.join('/'))
  })
  return files
    .filter((file) => file.endsWith(SUFFIX))
    .map((file) => file.slice(0, -SUFFIX.length))
    .sort()
}

// Undefined when it was deleted meanwhile, or is no file.
async function readManifest(directory: FileHandle, name: string): Promise<ManifestFile | undefined> {
  const broken = (problem: string, passing: boolean) => ({ name, text: undefined, problem, passing })
  try {
    await using handle = await open(at(directory, `${name}${SUFFIX}`), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    const stat = await handle.stat()
    if (!stat.isFile()) return undefined
    if (stat.size > LARGEST_BYTES) return broken(`it has ${stat.size} bytes`, false)
    return { name, text: await readFile(handle, 'utf8'), problem: '', passing: false }
  } catch (error) {
    const errno = errnoOf(error)
    // ENXIO: a socket.
    if (errno === 'ENOENT' || errno === 'ENXIO') return undefined
    if (errno === undefined) throw error
    return LASTING.includes(errno)
      ? broken(`it cannot be read (${errno})`, false)
      : broken(`it cannot be read now (${errno}); look at the storage of the pool`, true)
  }
}

async function removeAbandoned(directory: FileHandle): Promise<void> {
  for (const file of await readdir(at(directory, '.'))) {
    if (!file.endsWith(TEMP_SUFFIX)) continue
    const { mtimeMs } = await stat(at(directory, file)).catch(() => ({ mtimeMs: Infinity }))
    if (Date.now() - mtimeMs > ABANDONED_MS) await rm(at(directory, file), { force: true })
  }
}
