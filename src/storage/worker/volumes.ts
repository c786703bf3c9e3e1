import { createHash, randomBytes } from 'node:crypto'
import { constants } from 'node:fs'
import { link, lstat, open, rm, rmdir, type FileHandle } from 'node:fs/promises'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { TEMP_SUFFIX } from '../../platform/files.ts'
import type { VolumeSpec } from '../backend.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { volumeFile } from '../volume-name.ts'
import { errnoOf, poolError } from './errno.ts'
import { at, makeDirectories, openDirectory, openPool } from './pool-root.ts'
import { openRecords, readRecord, readRecords, removeRecord, writeRecord, type VolumeRecord } from './records.ts'

const { O_CREAT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_RDWR } = constants

/** A volume file as it is now. */
export interface VolumeFacts {
  readonly spec: VolumeSpec
  readonly virtualSizeBytes: number
  readonly allocatedBytes: number
}

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

/** The volume, or undefined. */
export async function readVolume(params: { guard: PoolGuard; name: string }): Promise<VolumeFacts | undefined> {
  await using root = await openPool(params.guard)
  await using records = await openRecords(root)
  const record = await readRecord(records, params.name)
  return record?.state === 'made' ? await factsOf(root, record) : undefined
}

/** All complete volumes, by name. */
export async function readVolumes(params: { guard: PoolGuard }): Promise<VolumeFacts[]> {
  await using root = await openPool(params.guard)
  await using records = await openRecords(root)
  const found: VolumeFacts[] = []
  for (const record of await readRecords(records)) {
    const facts = record.state === 'made' ? await factsOf(root, record) : undefined
    if (facts !== undefined) found.push(facts)
  }
  return found
}

/** Deletes a volume this agent made. Errors: DISK_FILE_FOREIGN without `owner` when a file without a record is in its place, VOLUME_IN_USE. */
export async function deleteVolume(params: {
  guard: PoolGuard
  name: string
  owner?: string
  node: string
}): Promise<'deleted' | 'already-deleted'> {
  const { guard, name, owner, node } = params
  await using root = await openPool(guard)
  await using records = await openRecords(root)
  const record = await settled(root, records, name, node)
  if (record === undefined) {
    if (owner === undefined) await refuseUnrecorded(root, name)
    return 'already-deleted'
  }
  if (owner !== undefined && record.spec.owner !== owner) return 'already-deleted'
  const all = await readRecords(records)
  const path = volumeFile(name, record.spec.format)
  const file = `${guard.root}/${path.join('/')}`
  const user = all.find((other) => other.spec.content.type === 'overlay' && other.spec.content.path === file)
  if (user !== undefined) {
    throw new AgentError('VOLUME_IN_USE', `volume ${name} is the backing file of volume ${user.spec.name}`)
  }
  const removed = await removeFile(root, path)
  // The record goes last: a crash in between leaves a record without a file, which counts as absent.
  await removeRecord(records, name)
  await removeDirectories(root, parentsOf(path))
  return removed ? 'deleted' : 'already-deleted'
}

/** Takes up what an earlier process of this agent left half made: completes or removes it. */
export async function sweepClaims(root: FileHandle, node: string): Promise<void> {
  await using records = await openRecords(root)
  for (const record of await readRecords(records)) {
    if (isAbandoned(record, node)) await settleClaim(root, records, record, node)
  }
}

// The record of a volume after an unfinished claim of this agent was completed or removed.
async function settled(
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

async function factsOf(root: FileHandle, record: VolumeRecord): Promise<VolumeFacts | undefined> {
  const path = volumeFile(record.spec.name, record.spec.format)
  try {
    await using directory = await openDirectory(root, path.slice(0, -1))
    await using file = await open(at(directory, path.at(-1) ?? ''), O_RDONLY | O_NOFOLLOW)
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

async function refuseForeign(directory: FileHandle, file: string, path: readonly string[]): Promise<void> {
  try {
    await lstat(at(directory, file))
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return
    throw error
  }
  throw foreign(path.join('/'))
}

async function refuseUnrecorded(root: FileHandle, name: string): Promise<void> {
  for (const format of ['qcow2', 'raw'] as const) {
    const path = volumeFile(name, format)
    try {
      await using directory = await openDirectory(root, path.slice(0, -1))
      await refuseForeign(directory, path.at(-1) ?? '', path)
    } catch (error) {
      if (!isAgentError(error, 'FILE_NOT_FOUND')) throw error
    }
  }
}

function foreign(what: string): AgentError {
  return new AgentError(
    'DISK_FILE_FOREIGN',
    `${what}: a file that the agent did not make is in the place of the volume; move it away or use another name`,
  )
}

async function sameFile(directory: FileHandle, a: string, b: string): Promise<boolean> {
  try {
    const [one, other] = [await lstat(at(directory, a)), await lstat(at(directory, b))]
    return one.ino === other.ino && one.dev === other.dev
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') return false
    throw error
  }
}

async function removeFile(root: FileHandle, path: readonly string[]): Promise<boolean> {
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

// Another volume may lose its empty parent to a deletion between mkdir and open: begin again.
async function makeParents(root: FileHandle, parents: readonly string[], made: string[]): Promise<FileHandle> {
  for (let attempt = 1; ; attempt++) {
    try {
      return await makeDirectories(root, parents, made)
    } catch (error) {
      if (attempt === 5 || !isAgentError(error, 'FILE_NOT_FOUND')) throw error
    }
  }
}

function parentsOf(path: readonly string[]): string[] {
  return path.slice(0, -1).map((_, index) => path.slice(0, index + 1).join('/'))
}

// Innermost first; one that is in use or gone is left as it is.
async function removeDirectories(root: FileHandle, directories: readonly string[]): Promise<void> {
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

async function releaseHold(temp: string): Promise<void> {
  const directory = held.get(temp)
  held.delete(temp)
  await directory?.close()
}

function tag(node: string): string {
  return createHash('sha256').update(node).digest('hex').slice(0, 8)
}
