import { rm } from 'node:fs/promises'
import path from 'node:path'
import type { DiskFormat } from '../core/model.ts'
import { readTextIfPresent, writeFileAtomic } from '../platform/files.ts'
import type { Checksum, Digests } from './verify.ts'

/** What the agent knows of an image it put in place; kept beside it as `.<file>.lqx.json`. */
export interface ImageManifest {
  readonly version: 1
  readonly jobId: string
  /** As requested. */
  readonly url: string
  /** Where redirects led, without query; empty when the file was found in place and verified. */
  readonly finalUrl: string
  readonly digests: Digests
  /** True when a checksum was given and matched. */
  readonly checksumGiven: boolean
  readonly format: DiskFormat
  readonly virtualSizeBytes: number
  readonly sizeBytes: number
  /** Milliseconds; with the size it tells whether the file was touched since. */
  readonly mtimeMs: number
  readonly tools: Readonly<Record<string, string>>
  /** ISO 8601. */
  readonly createdAt: string
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

/** Whether a file with this manifest is what is asked for. With a checksum only the digest counts, else the URL; `unknown` = its digest of that kind was never made. */
export function answersRequest(
  manifest: ImageManifest,
  url: string,
  expected: Checksum | undefined,
): 'yes' | 'no' | 'unknown' {
  if (expected === undefined) return manifest.url === url ? 'yes' : 'no'
  const digest = manifest.digests[expected.algorithm]
  if (digest === undefined) return 'unknown'
  return digest === expected.hex ? 'yes' : 'no'
}
