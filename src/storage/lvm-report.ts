import { z } from 'zod'
import { readGroupTags, readVolumeTags, type GroupTags, type VolumeTags } from './lvm-tags.ts'

/** A logical volume as LVM reports it. Sizes in bytes. */
export interface LogicalVolume {
  readonly name: string
  readonly sizeBytes: number
  readonly rawTags: readonly string[]
  readonly tags: VolumeTags
  readonly isThinPool: boolean
  /** Thin pool it is in; '' for others. */
  readonly pool: string
  /** Logical volume it was taken from, as long as that is there; else ''. */
  readonly origin: string
  readonly active: boolean
  readonly suspended: boolean
  readonly open: boolean
  /** Of a thin pool: whether new blocks are zeroed. */
  readonly zeroes: boolean
  /** Shares in use, 0 to 1; 0 when it is not active. */
  readonly dataUsed: number
  readonly metadataUsed: number
  /** Trouble of a thin pool in the words of LVM; '' when there is none. */
  readonly trouble: string
}

/** A volume group with everything in it. */
export interface VolumeGroup {
  readonly name: string
  readonly rawTags: readonly string[]
  readonly tags: GroupTags
  readonly sizeBytes: number
  readonly freeBytes: number
  readonly extentBytes: number
  readonly missingDevices: number
  /** Kernel names of its devices that are there, such as `/dev/sdb`. */
  readonly devices: readonly string[]
  readonly volumes: readonly LogicalVolume[]
}

/** A device with an LVM label on it; `group` is '' when it belongs to none. */
export interface LabelledDevice {
  readonly device: string
  readonly uuid: string
  readonly group: string
  readonly tags: GroupTags
}

/** Arguments of `lvm` for `parseGroup`. */
export const GROUP_REPORT: readonly string[] = [
  ...['fullreport', '--reportformat', 'json', '--units', 'b', '--nosuffix'],
  ...['--configreport', 'vg', '-o', 'vg_name,vg_tags,vg_size,vg_free,vg_extent_size,vg_missing_pv_count'],
  ...['--configreport', 'pv', '-o', 'pv_name,pv_missing'],
  ...['--configreport', 'lv', '-o', 'lv_name,lv_size,lv_tags,lv_attr,lv_layout,pool_lv,origin,data_percent'],
  ...['-o', '+metadata_percent,lv_active,lv_health_status'],
  ...['--configreport', 'pvseg', '-o', 'pvseg_start', '--configreport', 'seg', '-o', 'seg_start'],
]

/** Arguments of `lvm` for `parseLabels`. */
export const LABEL_REPORT: readonly string[] = [
  ...['pvs', '--reportformat', 'json', '-o', 'pv_name,pv_uuid,vg_name,vg_tags'],
]

const report = <T>(entry: z.ZodType<T>) => z.object({ report: z.array(entry) })

const groupSchema = report(
  z.object({
    vg: z.array(
      z.object({
        vg_name: z.string(),
        vg_tags: z.string(),
        vg_size: z.coerce.number(),
        vg_free: z.coerce.number(),
        vg_extent_size: z.coerce.number(),
        vg_missing_pv_count: z.coerce.number(),
      }),
    ),
    pv: z.array(z.object({ pv_name: z.string(), pv_missing: z.string() })).default([]),
    lv: z
      .array(
        z.object({
          lv_name: z.string(),
          lv_size: z.coerce.number(),
          lv_tags: z.string(),
          lv_attr: z.string(),
          lv_layout: z.string(),
          pool_lv: z.string(),
          origin: z.string(),
          data_percent: z.string(),
          metadata_percent: z.string(),
          lv_active: z.string(),
          lv_health_status: z.string(),
        }),
      )
      .default([]),
  }),
)

type GroupEntry = z.output<typeof groupSchema>['report'][number]

const labelSchema = report(
  z.object({
    pv: z.array(z.object({ pv_name: z.string(), pv_uuid: z.string(), vg_name: z.string(), vg_tags: z.string() })),
  }),
)

/** The volume group of a report that was asked for one. */
export function parseGroup(text: string): VolumeGroup | undefined {
  return parseGroups(text)[0]
}

/** The volume groups of a report. */
export function parseGroups(text: string): VolumeGroup[] {
  const { report } = groupSchema.parse(JSON.parse(text))
  // Disks that are in no volume group have an entry of their own.
  return report.flatMap((entry) => entry.vg.map((vg) => volumeGroup(entry, vg)))
}

function volumeGroup(entry: GroupEntry, vg: GroupEntry['vg'][number]): VolumeGroup {
  const rawTags = list(vg.vg_tags)
  return {
    name: vg.vg_name,
    rawTags,
    tags: readGroupTags(rawTags),
    sizeBytes: vg.vg_size,
    freeBytes: vg.vg_free,
    extentBytes: vg.vg_extent_size,
    missingDevices: vg.vg_missing_pv_count,
    devices: entry.pv.filter(({ pv_missing }) => pv_missing === '').map(({ pv_name }) => pv_name),
    volumes: entry.lv.map((lv): LogicalVolume => {
      const tags = list(lv.lv_tags)
      return {
        name: lv.lv_name,
        sizeBytes: lv.lv_size,
        rawTags: tags,
        tags: readVolumeTags(tags),
        isThinPool: list(lv.lv_layout).includes('pool') && list(lv.lv_layout).includes('thin'),
        pool: lv.pool_lv,
        origin: lv.origin,
        active: lv.lv_active !== '',
        // lvs(8), lv_attr: state, open, and whether new blocks are zeroed.
        suspended: /[sS]/.test(lv.lv_attr.charAt(4)),
        open: lv.lv_attr.charAt(5) === 'o',
        zeroes: lv.lv_attr.charAt(7) === 'z',
        dataUsed: share(lv.data_percent),
        metadataUsed: share(lv.metadata_percent),
        trouble: lv.lv_health_status,
      }
    }),
  }
}

export function parseLabels(text: string): LabelledDevice[] {
  return labelSchema
    .parse(JSON.parse(text))
    .report.flatMap(({ pv }) => pv)
    .map(({ pv_name, pv_uuid, vg_name, vg_tags }) => ({
      device: pv_name,
      uuid: pv_uuid,
      group: vg_name,
      tags: readGroupTags(list(vg_tags)),
    }))
}

function list(text: string): string[] {
  return text === '' ? [] : text.split(',')
}

function share(percent: string): number {
  return percent === '' ? 0 : Number(percent) / 100
}
