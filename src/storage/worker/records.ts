import { randomUUID } from 'node:crypto'
import { constants } from 'node:fs'
import { link, lstat, open, readdir, readFile, rename, rm, rmdir, unlink, type FileHandle } from 'node:fs/promises'
import { isAgentError } from '../../core/errors.ts'
import { isFilled, isFiniteNumber, isListOf, isOneOf, isShape, isText, parseShape } from '../../core/shape.ts'
import { TEMP_SUFFIX } from '../../platform/files.ts'
import type { VolumeSpec } from '../backend.ts'
import { BACKUPS_DIRECTORY, LEASES_DIRECTORY, RECORDS_DIRECTORY } from '../pool-marker.ts'
import { volumeOfRecordFile, volumeRecordFile } from '../volume-name.ts'
import { isVolumeSpec } from '../volume-spec.ts'
import { errnoOf, poolError } from './errno.ts'
import { at, makeDirectories, openDirectory } from './pool-root.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants

const VOLUMES = [RECORDS_DIRECTORY, 'volumes'] as const

/** What the agent keeps about a volume it made, beside the volumes in the same file system. */
export interface VolumeRecord {
  readonly version: 1
  /** `claimed`: being made under the temp name; the final file is ours only if it is the same inode. `made`: complete. */
  readonly state: 'claimed' | 'made'
  /** As it was asked for, to compare with a repeated request. */
  readonly spec: VolumeSpec
  /** Name of the unfinished file, in the directory of the final one. */
  readonly temp: string
  /** Agent that makes it: others leave unfinished work alone on shared pools. */
  readonly node: string
  /** Directories made for it, outermost first: removed again when it is given up. */
  readonly madeDirectories: readonly string[]
  readonly createdAt: number
}

const isFileName = (value: unknown): value is string => isFilled(value) && !value.includes('/')

const isRecord = isShape<VolumeRecord>({
  version: isOneOf([1]),
  state: isOneOf(['claimed', 'made']),
  spec: isVolumeSpec,
  temp: isFileName,
  node: isText,
  madeDirectories: isListOf(isText),
  createdAt: isFiniteNumber,
})

/** A small file takes moments to write, on a server that comes back minutes; hosts of one pool may have clocks of their own. */
const CUT_OFF_AFTER_MS = 60 * 60_000

/** What the write probe leaves beside the records. */
export const PROBE_FILE = 'probe'

/** The directory with the volume records, made if missing. Close it. */
export async function openRecords(root: FileHandle): Promise<FileHandle> {
  return makeDirectories(root, VOLUMES, [])
}

/** Removes the bookkeeping directories if no record is in them. */
export async function removeEmptyRecords(root: FileHandle): Promise<void> {
  await rm(at(root, `${VOLUMES.join('/')}/${PROBE_FILE}`), { force: true })
  const below = [LEASES_DIRECTORY, BACKUPS_DIRECTORY].map((name) => `${RECORDS_DIRECTORY}/${name}`)
  for (const path of [VOLUMES.join('/'), ...below, RECORDS_DIRECTORY]) {
    try {
      await rmdir(at(root, path))
    } catch (error) {
      if (errnoOf(error) !== 'ENOTEMPTY' && errnoOf(error) !== 'ENOENT') throw poolError(error, path)
    }
  }
}

/** The record of volume `name`, or undefined. An unreadable one is no record. */
export async function readRecord(records: FileHandle, name: string): Promise<VolumeRecord | undefined> {
  return readRecordFile(records, volumeRecordFile(name))
}

/** All records, sorted by volume name. */
export async function readRecords(records: FileHandle): Promise<VolumeRecord[]> {
  const found: VolumeRecord[] = []
  for (const file of await recordFiles(records)) {
    const record = await readRecordFile(records, file)
    if (record !== undefined) found.push(record)
  }
  return found.sort((a, b) => (a.spec.name < b.spec.name ? -1 : 1))
}

/** The records below a pool root, none when nothing was ever recorded; makes nothing. */
export async function recordsBelow(root: FileHandle): Promise<VolumeRecord[]> {
  try {
    await using records = await openDirectory(root, VOLUMES)
    return await readRecords(records)
  } catch (error) {
    if (isAgentError(error, 'FILE_NOT_FOUND')) return []
    throw error
  }
}

/** How many volumes have a record. */
export async function countRecords(root: FileHandle): Promise<number> {
  return (await recordedNames(root)).length
}

/** Names of the volumes that have a record, from the names of those alone. */
export async function recordedNames(root: FileHandle): Promise<string[]> {
  try {
    await using records = await openDirectory(root, VOLUMES)
    return (await recordFiles(records)).map(volumeOfRecordFile)
  } catch (error) {
    if (isAgentError(error, 'FILE_NOT_FOUND')) return []
    throw error
  }
}

/** Writes a record durably. With `exclusive`, answers false when there is one under this name (another host was first). */
export async function writeRecord(records: FileHandle, record: VolumeRecord, exclusive = false): Promise<boolean> {
  const file = volumeRecordFile(record.spec.name)
  return writeDurably(records, file, `${JSON.stringify(record)}\n`, 0o600, exclusive)
}

/** Forgets a volume. */
export async function removeRecord(records: FileHandle, name: string): Promise<void> {
  await rm(at(records, volumeRecordFile(name)), { force: true })
  await records.sync()
}

/** Removes what writes beside the records left that were cut off, here or on another host. Errors: those of poolError. */
export async function sweepCutOff(records: FileHandle): Promise<void> {
  for (const name of await readdir(at(records, '.'))) {
    if (!name.startsWith('.') || !name.endsWith(TEMP_SUFFIX)) continue
    const temp = at(records, name)
    try {
      if (Date.now() - (await lstat(temp)).mtimeMs > CUT_OFF_AFTER_MS) await rm(temp, { force: true })
    } catch (error) {
      // Its write has ended meanwhile.
      if (errnoOf(error) !== 'ENOENT') throw poolError(error, name)
    }
  }
}

/**
 * Replaces or (exclusive) makes a small file in an open directory: temp file, fsync, rename or link, fsync of the directory. False when an exclusive one was
 * there.
 */
export async function writeDurably(
  directory: FileHandle,
  name: string,
  data: string,
  mode: number,
  exclusive: boolean,
): Promise<boolean> {
  const temp = at(directory, `.${randomUUID()}${TEMP_SUFFIX}`)
  try {
    {
      await using file = await open(temp, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, mode)
      await file.writeFile(data)
      await file.sync()
    }
    if (exclusive) {
      await link(temp, at(directory, name))
      await unlink(temp)
    } else await rename(temp, at(directory, name))
  } catch (error) {
    await rm(temp, { force: true })
    if (exclusive && errnoOf(error) === 'EEXIST') return false
    throw poolError(error, name)
  }
  await directory.sync()
  return true
}

async function recordFiles(records: FileHandle): Promise<string[]> {
  return (await readdir(at(records, '.'))).filter((name) => name.endsWith('.json'))
}

async function readRecordFile(records: FileHandle, file: string): Promise<VolumeRecord | undefined> {
  try {
    await using handle = await open(at(records, file), O_RDONLY | O_NOFOLLOW)
    const record = parseShape(await readFile(handle, 'utf8'), isRecord)
    return record !== undefined && volumeRecordFile(record.spec.name) === file ? record : undefined
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw poolError(error, file)
  }
}
