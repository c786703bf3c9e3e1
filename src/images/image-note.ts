import type { Volume } from '../core/model.ts'
import { isFiniteNumber, isOneOf, isShape, isText, parseShape, type Check } from '../core/shape.ts'
import { withoutQuery } from '../platform/fetch-policy.ts'
import { sha256Of, type ImageManifest } from './manifest.ts'
import type { Digests } from './verify.ts'

/** What is known of an image in a volume: the manifest of a file, without the times of one. */
export type VolumeManifest = Omit<ImageManifest, 'mtimeMs'>

const isDigests: Check<Digests> = (value): value is Digests =>
  typeof value === 'object' && value !== null && Object.values(value).every(isText)
const isManifest = isShape({
  version: isOneOf([1]),
  jobId: isText,
  url: isText,
  digests: isDigests,
  format: isOneOf(['qcow2', 'raw']),
  virtualSizeBytes: isFiniteNumber,
  sizeBytes: isFiniteNumber,
  createdAt: isText,
})

/** A manifest as the note of a volume, for every host of the pool. Whoever may read the pool may read it, and so the URL goes without its query. */
export function imageNote(manifest: VolumeManifest): string {
  const url = URL.parse(manifest.url)
  const shown = { url: url === null ? '' : withoutQuery(url), urlSha256: sha256Of(manifest.url) }
  return JSON.stringify({ ...manifest, ...shown } satisfies VolumeManifest)
}

/** The manifest in the note of a volume; undefined without one that can be read. */
export function manifestIn({ note }: Pick<Volume, 'note'>): VolumeManifest | undefined {
  return note === undefined ? undefined : (parseShape(note, isManifest) as VolumeManifest | undefined)
}
