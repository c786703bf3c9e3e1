import { createHash } from 'node:crypto'
import { rm } from 'node:fs/promises'
import path from 'node:path'
import type { DiskFormat } from '../core/model.ts'
import { readTextIfPresent, writeFileAtomic } from '../platform/files.ts'
import type { ImageFacts, JudgedImage } from './inspect.ts'
import type { ResolvedProof } from './proof/resolve.ts'
import type { Checksum, Digests } from './verify.ts'

/** A file that is not kept. */
export interface FileDigests {
  readonly digests: Digests
  readonly sizeBytes: number
}

/** What the agent knows of an image it put in place; kept beside it as `.<file>.lqx.json`. */
export interface ImageManifest {
  readonly version: 1
  readonly jobId: string
  /** As requested. */
  readonly url: string
  /** Of `url` as it was requested, in a record that others can read: there `url` has no query, which may be a token. */
  readonly urlSha256?: string
  /** Where redirects led, without query; empty when the file was found in place and verified. */
  readonly finalUrl: string
  /** Of the file as it is stored. */
  readonly digests: Digests
  /** The bytes as they came, when another file was made of them. */
  readonly source?: FileDigests
  /** The disk image that was inside, when it was converted. */
  readonly image?: FileDigests
  /** What the source was: its wrappers, outermost first, and the format inside as the gate judged it. */
  readonly origin?: {
    readonly layers: readonly string[]
    readonly format: string
    readonly variant: string
    /** How qemu-img was confined while it read it. */
    readonly confinement: string
  }
  /** Fingerprint of the key that signed the sums. */
  readonly signer?: string
  /** True when a checksum was given and matched. */
  readonly checksumGiven: boolean
  readonly format: DiskFormat
  readonly virtualSizeBytes: number
  readonly sizeBytes: number
  /** Milliseconds; with the size it tells whether the file was touched since. */
  readonly mtimeMs: number
  /** Versions of the tools; `confinement`: how the image tools were kept from the host. */
  readonly tools: Readonly<Record<string, string>>
  /** ISO 8601. */
  readonly createdAt: string
}

/** Which job made an image, from what, proven by what. */
export interface ImageOrigin {
  readonly jobId: string
  readonly url: string
  readonly proof: ResolvedProof
  readonly deps: { readonly agentVersion: string }
}

/** A file that is to be recorded; the parts as in ImageManifest. */
export interface RecordedImage {
  readonly facts: ImageFacts
  readonly digests: Digests
  readonly finalUrl: string
  readonly source?: { readonly temp: string; readonly bytes: number; readonly digests: Digests }
  readonly temp?: string
  /** Versions of tools that read or made it. */
  readonly tools?: Readonly<Record<string, string>>
  readonly layers?: readonly string[]
  readonly judged?: JudgedImage
  readonly unwrapped?: { readonly temp: string; readonly bytes: number; readonly digests: Digests }
}

/** The record of an image; its file's modification time is added when it is written. */
export function newManifest(origin: ImageOrigin, image: RecordedImage): Omit<ImageManifest, 'mtimeMs'> {
  const { jobId, url, proof, deps } = origin
  const { facts, digests, finalUrl } = image
  return {
    version: 1,
    jobId,
    url,
    finalUrl,
    digests,
    ...earlier('source', image.source, image.temp),
    ...earlier('image', image.unwrapped, image.temp),
    ...originOf(image),
    ...(proof.signer === undefined ? {} : { signer: proof.signer }),
    checksumGiven: proof.source.length + proof.final.length > 0,
    format: facts.format,
    virtualSizeBytes: facts.virtualSizeBytes,
    sizeBytes: facts.fileSizeBytes,
    tools: {
      'limiquantix-node': deps.agentVersion,
      node: process.version,
      ...image.tools,
      ...(facts.confinement === undefined ? {} : { confinement: facts.confinement }),
    },
    createdAt: new Date().toISOString(),
  }
}

function originOf({ judged, layers = [] }: RecordedImage): Pick<ImageManifest, 'origin'> {
  if (judged === undefined) return {}
  const { format, variant, confinement } = judged
  return { origin: { layers, format, variant, confinement } }
}

// Only of a file that is not the stored one.
function earlier<K extends string>(
  key: K,
  file: RecordedImage['source'],
  stored: string | undefined,
): Partial<Record<K, FileDigests>> {
  if (file === undefined || file.temp === stored) return {}
  return { [key]: { digests: file.digests, sizeBytes: file.bytes } } as Record<K, FileDigests>
}

/** The sidecar's path. */
export function manifestPath(imagePath: string): string {
  return path.join(path.dirname(imagePath), `.${path.basename(imagePath)}.lqx.json`)
}

/** The manifest of an image, or undefined when there is none that can be read. Pool I/O: for worker processes. */
export async function readManifest(imagePath: string): Promise<ImageManifest | undefined> {
  const text = await readTextIfPresent(manifestPath(imagePath))
  try {
    const value = JSON.parse(text ?? 'null') as ImageManifest | null
    return value?.version === 1 && typeof value.digests === 'object' ? value : undefined
  } catch {
    return undefined
  }
}

/** Writes the sidecar durably, for root alone: the URL may carry a token. */
export async function writeManifest(imagePath: string, manifest: ImageManifest): Promise<void> {
  await writeFileAtomic(manifestPath(imagePath), `${JSON.stringify(manifest, undefined, 2)}\n`)
}

/** Removes the sidecar, if there is one. */
export async function removeManifest(imagePath: string): Promise<void> {
  await rm(manifestPath(imagePath), { force: true })
}

/** True when the manifest still describes the file: same size and modification time. */
export function describesFile(
  manifest: ImageManifest,
  file: { readonly sizeBytes: number; readonly mtimeMs: number },
): boolean {
  return manifest.sizeBytes === file.sizeBytes && manifest.mtimeMs === file.mtimeMs
}

/** What a request says the source, and the disk image inside it, must be. */
export interface Expected {
  readonly source: readonly Checksum[]
  readonly final: readonly Checksum[]
}

/** Whether a file with this manifest is what is asked for. With checksums only the digests count, else the URL; `unknown` = a digest of that kind was never made. */
export function answersRequest(manifest: ImageManifest, url: string, expected: Expected): 'yes' | 'no' | 'unknown' {
  const source = manifest.source?.digests ?? manifest.digests
  const image = manifest.image?.digests ?? manifest.digests
  const answers = [...expected.source.map(compareWith(source)), ...expected.final.map(compareWith(image))]
  if (answers.length === 0) return isOf(manifest, url) ? 'yes' : 'no'
  return answers.find((answer) => answer === 'no') ?? answers.find((answer) => answer === 'unknown') ?? 'yes'
}

function isOf(manifest: Pick<ImageManifest, 'url' | 'urlSha256'>, url: string): boolean {
  return manifest.urlSha256 === undefined ? manifest.url === url : manifest.urlSha256 === sha256Of(url)
}

/** sha256 of a text, in hex. */
export function sha256Of(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}

function compareWith(digests: Digests): (expected: Checksum) => 'yes' | 'no' | 'unknown' {
  return ({ algorithm, hex }) => {
    const digest = digests[algorithm]
    if (digest === undefined) return 'unknown'
    return digest === hex ? 'yes' : 'no'
  }
}
