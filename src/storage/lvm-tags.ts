import type { PoolKind } from '../core/model.ts'
import { isFiniteNumber, isShape, isText, parseShape, type Check } from '../core/shape.ts'
import type { VolumeSpec } from './backend.ts'
import { isVolumeSpec } from './volume-spec.ts'

/** LVM takes 1024 characters per tag; the key needs some. */
const CHUNK = 960
const VOLUME = 'limiquantix.volume'
const SNAPSHOT = 'limiquantix.snapshot'

/** What the agent keeps of a pool in the tags of its volume group. */
export interface GroupTags {
  readonly pool?: string
  readonly kind?: string
  readonly generation?: string
  /** The agents whose hosts have the pool active, at most one but for a moment: a thin pool that is active on two hosts is lost. */
  readonly nodes: readonly string[]
  /** The agents that want it, and have not made sure yet that nobody else has it. */
  readonly takers: readonly string[]
}

/** What the agent keeps of a snapshot. */
export interface SnapshotRecord {
  readonly volume: string
  readonly snapshot: string
  /** Milliseconds since the epoch. */
  readonly createdAt: number
}

/** What the tags of a logical volume say. Without a record it is not the agent's. */
export interface VolumeTags {
  readonly volume?: VolumeSpec
  readonly snapshot?: SnapshotRecord
  /** The agent that has not finished the volume yet. */
  readonly claim?: string
}

const isSnapshotRecord: Check<SnapshotRecord> = isShape<SnapshotRecord>({
  volume: isText,
  snapshot: isText,
  createdAt: isFiniteNumber,
})

/** Tag of a volume group or thin pool that the agent made, so that it may remove it again. */
export const MADE_TAG = 'limiquantix.made'
/** Tag of a volume group while the agent makes the thin pool in it. */
export const MAKING_TAG = 'limiquantix.making'

export const poolTag = (poolId: string): string => `limiquantix.pool=${poolId}`
export const kindTag = (kind: PoolKind): string => `limiquantix.kind=${kind}`
export const generationTag = (generation: string): string => `limiquantix.generation=${generation}`
export const nodeTag = (nodeId: string): string => `limiquantix.node=${nodeId}`
export const takerTag = (nodeId: string): string => `limiquantix.taker=${nodeId}`
export const claimTag = (nodeId: string): string => `limiquantix.claim=${nodeId}`

/** Tags that carry the request a volume was made by. lvm(8) allows letters, digits and `_+.-/=!:&#`. */
export function volumeTags(spec: VolumeSpec): string[] {
  return recordTags(VOLUME, spec)
}

/** Tags that carry the record of a snapshot. */
export function snapshotTags(record: SnapshotRecord): string[] {
  return recordTags(SNAPSHOT, record)
}

export function readGroupTags(tags: readonly string[]): GroupTags {
  const [pool, kind, generation] = ['pool', 'kind', 'generation'].map((key) => valueOf(tags, `limiquantix.${key}`))
  return {
    ...(pool === undefined ? {} : { pool }),
    ...(kind === undefined ? {} : { kind }),
    ...(generation === undefined ? {} : { generation }),
    nodes: valuesOf(tags, 'limiquantix.node'),
    takers: valuesOf(tags, 'limiquantix.taker'),
  }
}

export function readVolumeTags(tags: readonly string[]): VolumeTags {
  const volume = readRecord(tags, VOLUME, isVolumeSpec)
  const snapshot = readRecord(tags, SNAPSHOT, isSnapshotRecord)
  const claim = valueOf(tags, 'limiquantix.claim')
  return {
    ...(volume === undefined ? {} : { volume }),
    ...(snapshot === undefined ? {} : { snapshot }),
    ...(claim === undefined ? {} : { claim }),
  }
}

function recordTags(key: string, record: object): string[] {
  const text = Buffer.from(JSON.stringify(record)).toString('base64url')
  const tags: string[] = []
  for (let at = 0; at < text.length; at += CHUNK) tags.push(`${key}.${tags.length}=${text.slice(at, at + CHUNK)}`)
  return tags
}

function readRecord<T>(tags: readonly string[], key: string, check: Check<T>): T | undefined {
  let text = ''
  for (let part = 0; ; part++) {
    const chunk = valueOf(tags, `${key}.${part}`)
    if (chunk === undefined) break
    text += chunk
  }
  return parseShape(Buffer.from(text, 'base64url').toString('utf8'), check)
}

function valueOf(tags: readonly string[], key: string): string | undefined {
  return valuesOf(tags, key)[0]
}

function valuesOf(tags: readonly string[], key: string): string[] {
  return tags.flatMap((tag) => (tag.startsWith(`${key}=`) ? [tag.slice(key.length + 1)] : []))
}
