import { AgentError, isAgentError } from '../../core/errors.ts'
import type { FileHandle } from 'node:fs/promises'
import type { LayerBase } from '../backend.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { volumeFile } from '../volume-name.ts'
import { isMadeFor } from '../volume-spec.ts'
import { settled } from './claims.ts'
import { openDirectory, openPool } from './pool-root.ts'
import { openRecords, readRecord, readRecords, removeRecord, writeRecord } from './records.ts'
import { factsOf, refuseForeign, removeDirectories, removeFile, type VolumeFacts } from './volume-files.ts'

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
  if (owner !== undefined && !isMadeFor(record.spec.owner, owner)) return 'already-deleted'
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

/** Records that an overlay stands on `base` now, which the refusal to delete that goes by. VOLUME_NOT_FOUND when it is no overlay. */
export async function recordVolumeBase(params: { guard: PoolGuard; name: string; base: LayerBase }): Promise<void> {
  const { guard, name, base } = params
  await using root = await openPool(guard)
  await using records = await openRecords(root)
  const record = await readRecord(records, name)
  if (record?.state !== 'made' || record.spec.content.type !== 'overlay') {
    throw new AgentError('VOLUME_NOT_FOUND', `volume ${name} is no overlay that the agent made`)
  }
  const { content } = record.spec
  if (content.path === base.path && content.format === base.format) return
  await writeRecord(records, { ...record, spec: { ...record.spec, content: { type: 'overlay', ...base } } })
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

function parentsOf(path: readonly string[]): string[] {
  return path.slice(0, -1).map((_, index) => path.slice(0, index + 1).join('/'))
}
