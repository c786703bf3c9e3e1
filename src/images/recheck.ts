import { lstat } from 'node:fs/promises'
import { describesFile, readManifest } from './manifest.ts'

/** Whether the file of an image is what its manifest says: `unknown` without a manifest. */
export type ManifestAnswer = 'same' | 'changed' | 'unknown'

/** Compares an image with its manifest by size and modification time, as cheap as two small reads. Pool I/O: for worker processes. */
export async function compareWithManifest(path: string): Promise<ManifestAnswer> {
  const manifest = await readManifest(path)
  if (manifest === undefined) return 'unknown'
  const { size, mtimeMs } = await lstat(path)
  return describesFile(manifest, { sizeBytes: size, mtimeMs }) ? 'same' : 'changed'
}
