import { createHash } from 'node:crypto'
import { z } from 'zod'
import { isId } from '../../core/ids.ts'
import { backupVolume, type VmBackup } from './backup-record.ts'

const FORMAT = 'limiquantix-backup'
const VERSION = 1

const backupSchema = z.object({
  // Of any version and variant: VMs are given their UUIDs by others.
  vmId: z.guid(),
  name: z.string().refine(isId),
  vmName: z.string(),
  // As far as a Date goes.
  createdAt: z.int().min(0).max(8.64e15),
  parent: z.string(),
  checkpoint: z.string(),
  disks: z.array(
    z.object({
      diskId: z.string(),
      targetDev: z.string().regex(/^[a-z0-9]{1,16}$/),
      volume: z.string(),
      sizeBytes: z.number().int().nonnegative(),
      sha256: z.string().regex(/^[0-9a-f]{64}$/),
    }),
  ),
  definition: z.string(),
})
const envelopeSchema = z.object({
  format: z.literal(FORMAT),
  version: z.number(),
  sha256: z.string(),
  backup: z.unknown(),
})

/** What a manifest says. Where the pool is, and what it is called, is not in it: both may be others where it is read. */
export type ManifestContent = z.output<typeof backupSchema>

/** What reading a manifest comes to; `problem` is for people. */
export type ManifestReading = { readonly content: ManifestContent } | { readonly problem: string }

/** Name of the manifest of a backup. */
export function manifestName(vmId: string, name: string): string {
  return `${vmId}.${name}`
}

/** Whose manifest has this name; undefined for names that no manifest has. */
export function readManifestName(manifest: string): { readonly vmId: string; readonly name: string } | undefined {
  const dot = manifest.indexOf('.')
  return dot <= 0 || dot === manifest.length - 1
    ? undefined
    : { vmId: manifest.slice(0, dot), name: manifest.slice(dot + 1) }
}

/** The manifest of a backup: JSON with a version, and the SHA-256 of what it says in the compact JSON that JSON.stringify writes. */
export function writeManifest({ disks, ...backup }: VmBackup): string {
  const content: ManifestContent = backupSchema.parse({ ...backup, disks: [...disks] })
  const sha256 = digestOf(content)
  return `${JSON.stringify({ format: FORMAT, version: VERSION, sha256, backup: content }, undefined, 2)}\n`
}

/** Reads the manifest called `manifest`. Never throws. */
export function readManifest(manifest: string, text: string): ManifestReading {
  let value: unknown
  try {
    value = JSON.parse(text)
  } catch {
    return { problem: 'its manifest is no JSON' }
  }
  const envelope = envelopeSchema.safeParse(value).data
  if (envelope === undefined) return { problem: 'its manifest is none' }
  if (envelope.version !== VERSION)
    return { problem: `its manifest has version ${envelope.version}, this agent knows ${VERSION}; use a newer agent` }
  if (digestOf(envelope.backup) !== envelope.sha256)
    return { problem: 'its manifest is not what it was when it was written' }
  const content = backupSchema.safeParse(envelope.backup).data
  if (content === undefined) return { problem: 'its manifest lacks something' }
  if (manifestName(content.vmId, content.name) !== manifest)
    return { problem: 'its manifest is that of another backup' }
  // Names of volumes become paths.
  const { vmId, name, disks } = content
  if (disks.some(({ targetDev, volume }) => volume !== backupVolume(vmId, name, targetDev)))
    return { problem: 'its manifest names volumes of others' }
  return { content }
}

function digestOf(content: unknown): string {
  return createHash('sha256')
    .update(JSON.stringify(content) ?? '')
    .digest('hex')
}
