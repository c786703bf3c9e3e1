import { isFiniteNumber, isOneOf, isShape, isText, parseShape, type Check } from '../core/shape.ts'
import type { VolumeSpec } from './backend.ts'
import type { RbdImages } from './rbd-images.ts'
import { isVolumeSpec } from './volume-spec.ts'

/** Key of the image metadata that makes an image a volume of the agent. */
const RECORD_KEY = 'limiquantix.volume'

/** What the agent keeps about a volume in the metadata of its image. */
export interface RbdRecord {
  readonly version: 1
  /** As it was asked for, to compare with a repeated request. */
  readonly spec: VolumeSpec
  readonly createdAt: number
  /** Volume.note */
  readonly note?: string
}

const isRecord: Check<RbdRecord> = (value): value is never =>
  isShape({ version: isOneOf([1]), spec: isVolumeSpec, createdAt: isFiniteNumber })(value) &&
  isText((value as { note?: unknown }).note ?? '')

/** Key and value of the metadata for a volume that is made now. */
export function rbdRecord(spec: VolumeSpec, note?: string): [key: string, value: string] {
  const record: RbdRecord = { version: 1, spec, createdAt: Date.now(), ...(note === undefined ? {} : { note }) }
  return [RECORD_KEY, JSON.stringify(record)]
}

/** The record of an image; undefined when it has none, or an unreadable one, or is missing. */
export async function readRbdRecord(
  images: RbdImages,
  image: string,
  signal: AbortSignal,
): Promise<RbdRecord | undefined> {
  const text = await images.metadata(image, RECORD_KEY, signal)
  return text === undefined ? undefined : parseShape(text, isRecord)
}
