import { z } from 'zod'
import type { VolumeSnapshot } from '../core/model.ts'

/** What `qemu-img info` says about one file. Sizes in bytes. */
export interface ImageInfo {
  readonly format: string
  readonly virtualSizeBytes: number
  readonly allocatedBytes: number
  /** As written in the header, not resolved. */
  readonly backingFile?: string
  readonly backingFormat?: string
  /** External data file of a qcow2, which a trusted image never has. */
  readonly dataFile?: string
  readonly encrypted: boolean
  /** Snapshots inside the file, oldest first. */
  readonly snapshots: readonly VolumeSnapshot[]
}

const infoSchema = z.object({
  format: z.string(),
  'virtual-size': z.number().nonnegative(),
  'actual-size': z.number().nonnegative().optional(),
  'backing-filename': z.string().optional(),
  'backing-filename-format': z.string().optional(),
  encrypted: z.boolean().optional(),
  snapshots: z.array(z.object({ name: z.string(), 'date-sec': z.number(), 'date-nsec': z.number() })).default([]),
  'format-specific': z
    .object({ data: z.looseObject({ 'data-file': z.string().optional() }).optional() })
    .loose()
    .optional(),
})

/** The output of `qemu-img info --output=json`. */
export function parseImageInfo(output: string): ImageInfo {
  const info = infoSchema.parse(JSON.parse(output))
  const dataFile = info['format-specific']?.data?.['data-file']
  return {
    format: info.format,
    virtualSizeBytes: info['virtual-size'],
    allocatedBytes: info['actual-size'] ?? 0,
    ...(info['backing-filename'] === undefined ? {} : { backingFile: info['backing-filename'] }),
    ...(info['backing-filename-format'] === undefined ? {} : { backingFormat: info['backing-filename-format'] }),
    ...(dataFile === undefined ? {} : { dataFile }),
    encrypted: info.encrypted ?? false,
    snapshots: info.snapshots.map((each) => ({
      name: each.name,
      createdAt: each['date-sec'] * 1000 + Math.trunc(each['date-nsec'] / 1_000_000),
    })),
  }
}
