import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, open, rm, type FileHandle } from 'node:fs/promises'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { TEMP_SUFFIX } from '../../platform/files.ts'
import type { VolumeSpec } from '../backend.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { volumeFile } from '../volume-name.ts'
import { errnoOf, poolError } from './errno.ts'
import { at, openDirectory, openPool } from './pool-root.ts'
import {
  openRecords,
  readRecord,
  readRecords,
  removeRecord,
  sweepCutOff,
  writeRecord,
  type VolumeRecord,
} from './records.ts'
import {
  factsOf,
  foreign,
  makeParents,
  refuseForeign,
  removeDirectories,
  removeFile,
  sameFile,
  type VolumeFacts,
} from './volume-files.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDWR } = constants

/** `writePath` leads to the unfinished file through a directory handle of this process: whatever happens to the mount, nothing can land elsewhere. */
export type ClaimResult =
  | { readonly outcome: 'present'; readonly volume: VolumeFacts }
  | { readonly outcome: 'claimed'; readonly temp: string; readonly writePath: string }

// Directory handles of claims that are being written, by temp name.
const held = new Map<string, FileHandle>()

/**
 * Begins a volume: records the claim durably, then makes the empty temp file. Errors: DISK_FILE_FOREIGN, CONFLICT when another host makes the same volume, those
 * of openPool.
 */
export async function claimVolume(params: { guard: PoolGuard; spec: VolumeSpec; node: string }): Promise<ClaimResult> {
  const { guard, spec, node } = params
  await using root = await openPool(guard)
  await using records = await openRecords(root)
  const before = await settled(root, records, spec.name, node)
  const present = before === undefined ? undefined : await factsOf(root, before)
  if (present !== undefined) return { outcome: 'present', volume: present }

  const path = volumeFile(spec.name, spec.format)
  const file = path.at(-1) ?? ''
  const temp = `.${file.slice(0, 180)}.${tag(node)}-${randomBytes(4).toString('hex')}${TEMP_SUFFIX}`
  const madeDirectories: string[] = []
  const directory = await makeParents(root, path.slice(0, -1), madeDirectories)
  const record: VolumeRecord = {
    version: 1,
    state: 'claimed',
    spec,
    temp,
    node,
    madeDirectories,
    createdAt: Date.now(),
  }
  let claimed = false
  try {
    await refuseForeign(directory, file, path)
    // A record without its file is replaced; a new one must not overwrite that of another host.
    claimed = await writeRecord(records, record, before === undefined)
    if (!claimed) throw new AgentError('CONFLICT', `volume ${spec.name} is being made by another host; retry`)
    // Not synced: the claim is durable, and what a crash leaves of the file is removed by it.
    const handle = await open(at(directory, temp), O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, 0o600)
    await handle.close()
  } catch (error) {
    await directory.close()
    if (claimed) await undoClaim(root, records, record)
    else await removeDirectories(root, madeDirectories)
    throw poolError(error, path.join('/'))
  }
  held.set(temp, directory)
  return { outcome: 'claimed', temp, writePath: `/proc/${process.pid}/fd/${directory.fd}/${temp}` }
}

/** Completes a claim: the temp file, made durable, gets the final name. Errors: CONFLICT when the claim is gone, DISK_FILE_FOREIGN. */
export async function publishVolume(params: { guard: PoolGuard; name: string; temp: string }): Promise<VolumeFacts> {
  await using root = await openPool(params.guard)
  await using records = await openRecords(root)
  const record = await readRecord(records, params.name)
  if (record?.temp !== params.temp) {
    throw new AgentError('CONFLICT', `volume ${params.name} was given up by another operation; retry`)
  }
  const path = volumeFile(record.spec.name, record.spec.format)
  {
    await using directory = await openDirectory(root, path.slice(0, -1))
    await completeClaim(directory, records, record, path.at(-1) ?? '')
  }
  await releaseHold(params.temp)
  const facts = await factsOf(root, { ...record, state: 'made' })
  if (facts === undefined) throw new AgentError('POOL_IO_ERROR', `volume ${params.name} vanished while it was made`)
  return facts
}

/** Gives a claim up: the temp file, the record and the directories made for it go. Nothing happens when it is not there. */
export async function abandonVolume(params: { guard: PoolGuard; name: string; temp: string }): Promise<void> {
  await releaseHold(params.temp)
  await using root = await openPool(params.guard)
  await using records = await openRecords(root)
  const record = await readRecord(records, params.name)
  if (record?.temp === params.temp && record.state === 'claimed') await undoClaim(root, records, record)
}

/** Takes up what an earlier process of this agent left half made: completes or removes it. Removes what cut-off writes of records left. */
export async function sweepClaims(root: FileHandle, node: string): Promise<void> {
  await using records = await openRecords(root)
  for (const record of await readRecords(records)) {
    if (isAbandoned(record, node)) await settleClaim(root, records, record, node)
  }
  await sweepCutOff(records)
}

/** The record of a volume after an unfinished claim of this agent was completed or removed. CONFLICT while somebody else makes it. */
export async function settled(
  root: FileHandle,
  records: FileHandle,
  name: string,
  node: string,
): Promise<VolumeRecord | undefined> {
  const record = await readRecord(records, name)
  return record === undefined ? undefined : settleClaim(root, records, record, node)
}

async function settleClaim(
  root: FileHandle,
  records: FileHandle,
  record: VolumeRecord,
  node: string,
): Promise<VolumeRecord | undefined> {
  if (record.state === 'made') return record
  const { name } = record.spec
  if (!isAbandoned(record, node)) {
    throw new AgentError('CONFLICT', `volume ${name} is being made by another operation; retry`)
  }
  const path = volumeFile(name, record.spec.format)
  const file = path.at(-1) ?? ''
  try {
    await using directory = await openDirectory(root, path.slice(0, -1))
    // Only the same inode under both names proves that the final file is what was claimed.
    if (await sameFile(directory, record.temp, file)) {
      await completeClaim(directory, records, record, file)
      return { ...record, state: 'made' }
    }
  } catch (error) {
    if (!isAgentError(error, 'FILE_NOT_FOUND')) throw error
  }
  await undoClaim(root, records, record)
  return undefined
}

function isAbandoned(record: VolumeRecord, node: string): boolean {
  return record.state === 'claimed' && record.node === node && !held.has(record.temp)
}

async function completeClaim(
  directory: FileHandle,
  records: FileHandle,
  record: VolumeRecord,
  file: string,
): Promise<void> {
  const what = record.spec.name
  try {
    {
      await using handle = await open(at(directory, record.temp), O_RDWR | O_NOFOLLOW)
      await handle.sync()
    }
    // link(2) never replaces: a file that appeared meanwhile stays, and the temp name proves what is ours until the record says so.
    await link(at(directory, record.temp), at(directory, file))
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw poolError(error, what)
    if (!(await sameFile(directory, record.temp, file))) throw foreign(what)
  }
  await directory.sync()
  await writeRecord(records, { ...record, state: 'made' })
  await rm(at(directory, record.temp), { force: true })
  await directory.sync()
}

async function undoClaim(root: FileHandle, records: FileHandle, record: VolumeRecord): Promise<void> {
  const path = volumeFile(record.spec.name, record.spec.format)
  const parents = path.slice(0, -1)
  if (await publishedHalf(root, record, path)) await removeFile(root, path)
  await removeFile(root, [...parents, record.temp])
  await removeRecord(records, record.spec.name)
  await removeDirectories(root, record.madeDirectories)
}

// The final name was linked, but the record of it could not be written (a full disk).
async function publishedHalf(root: FileHandle, record: VolumeRecord, path: readonly string[]): Promise<boolean> {
  try {
    await using directory = await openDirectory(root, path.slice(0, -1))
    return await sameFile(directory, record.temp, path.at(-1) ?? '')
  } catch (error) {
    if (isAgentError(error, 'FILE_NOT_FOUND')) return false
    throw error
  }
}

async function releaseHold(temp: string): Promise<void> {
  const directory = held.get(temp)
  held.delete(temp)
  await directory?.close()
}

function tag(node: string): string {
  return createHash('sha256').update(node).digest('hex').slice(0, 8)
}
