import { constants } from 'node:fs'
import { lstat, open, rm, rmdir, type FileHandle } from 'node:fs/promises'
import { AgentError, isAgentError } from '../../core/errors.ts'
import type { VolumeSpec } from '../backend.ts'
import { volumeFile } from '../volume-name.ts'
import { errnoOf, poolError } from './errno.ts'
import { at, makeDirectories, openDirectory } from './pool-root.ts'
import type { VolumeRecord } from './records.ts'

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** A volume file as it is now. */
export interface VolumeFacts {
  readonly spec: VolumeSpec
  readonly virtualSizeBytes: number
  readonly allocatedBytes: number
}

/** The file of a complete volume as it is now, or undefined when there is no regular file. */
export async function factsOf(root: FileHandle, record: VolumeRecord): Promise<VolumeFacts | undefined> {
  const path = volumeFile(record.spec.name, record.spec.format)
  try {
    await using directory = await openDirectory(root, path.slice(0, -1))
    await using file = await open(at(directory, path.at(-1) ?? ''), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
    const stat = await file.stat()
    if (!stat.isFile()) return undefined
    return {
      spec: record.spec,
      virtualSizeBytes: record.spec.format === 'raw' ? stat.size : await qcow2Size(file),
      allocatedBytes: stat.blocks * 512,
    }
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || isAgentError(error, 'FILE_NOT_FOUND')) return undefined
    throw poolError(error, record.spec.name)
  }
}

// docs/interop/qcow2.txt: magic "QFI\xfb" at 0, virtual size as a big-endian u64 at 24.
async function qcow2Size(file: FileHandle): Promise<number> {
  const header = Buffer.alloc(32)
  const { bytesRead } = await file.read(header, 0, 32, 0)
  if (bytesRead < 32 || header.readUInt32BE(0) !== 0x514649fb) return 0
  return Number(header.readBigUInt64BE(24))
}

/** DISK_FILE_FOREIGN when anything is at `file`. */
export async function refuseForeign(directory: FileHandle, file: string, path: readonly string[]): Promise<void> {
  try {
    await lstat(at(directory, file))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw error
  }
  throw foreign(path.join('/'))
}

/** The error for a file that is not ours. */
export function foreign(what: string): AgentError {
  return new AgentError(
    'DISK_FILE_FOREIGN',
    `${what}: a file that the agent did not make is in the place of the volume; move it away or use another name`,
  )
}

/** True when both names lead to one inode. */
export async function sameFile(directory: FileHandle, a: string, b: string): Promise<boolean> {
  try {
    const [one, other] = [await lstat(at(directory, a)), await lstat(at(directory, b))]
    return one.ino === other.ino && one.dev === other.dev
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

/** Removes one file durably; false when it was not there. */
export async function removeFile(root: FileHandle, path: readonly string[]): Promise<boolean> {
  try {
    await using directory = await openDirectory(root, path.slice(0, -1))
    await rm(at(directory, path.at(-1) ?? ''))
    await directory.sync()
    return true
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || isAgentError(error, 'FILE_NOT_FOUND')) return false
    throw poolError(error, path.join('/'))
  }
}

/** `makeDirectories` that copes with another volume losing its empty parent to a deletion between mkdir and open. */
export async function makeParents(root: FileHandle, parents: readonly string[], made: string[]): Promise<FileHandle> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await makeDirectories(root, parents, made)
    } catch (error) {
      if (attempt === 5 || !isAgentError(error, 'FILE_NOT_FOUND')) throw error
    }
  }
}

/** Removes empty directories given outermost first; one that is in use or gone is left as it is. */
export async function removeDirectories(root: FileHandle, directories: readonly string[]): Promise<void> {
  for (const path of directories.toReversed()) {
    const parts = path.split('/')
    try {
      await using parent = await openDirectory(root, parts.slice(0, -1))
      await rmdir(at(parent, parts.at(-1) ?? ''))
      await parent.sync()
    } catch (error) {
      const errno = errnoOf(error)
      const left = errno === 'ENOTEMPTY' || errno === 'EEXIST' || errno === 'ENOENT' || errno === 'EBUSY'
      if (!left && !isAgentError(error, 'FILE_NOT_FOUND')) throw poolError(error, path)
    }
  }
}
