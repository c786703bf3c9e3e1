import { z } from 'zod'
import { MIB } from '../core/bytes.ts'
import type { OpContext } from '../core/context.ts'
import type { QemuDriver } from '../images/formats/format.ts'
import type { ConfinementKind } from '../platform/confinement.ts'
import { confinedQemuImg } from './qemu-img-confined.ts'
import { parseImageInfo, type ImageInfo } from './qemu-img-info.ts'
import {
  confinedFileName,
  imageFileName,
  TABLES_ADDRESS_SPACE,
  WHOLE_ADDRESS_SPACE,
  type ConvertSource,
} from './qemu-img.ts'

const INFO_TIMEOUT_MS = 30_000
const CHECK_TIMEOUT_MS = 10 * 60_000
/** A large fragmented image has many tables. */
const MEASURE_TIMEOUT_MS = 120_000
/** What a driver is told besides the place. The size of a VHD is what it says: by default QEMU believes the geometry of some programs, which is less. */
const DRIVER_OPTIONS: Readonly<Partial<Record<QemuDriver, string>>> = { vpc: 'force_size_calc=current_size' }

const measureSchema = z.object({ required: z.number().nonnegative() })

/** An image file of unknown origin that our own parser has judged. */
export interface ForeignImage {
  /** Absolute path; also through a directory handle in `/proc`. */
  readonly path: string
  readonly driver: QemuDriver
}

/** Like imageInfo, confined to that one file. Errors: the same. */
export async function foreignImageInfo(
  { path, driver }: ForeignImage,
  ctx: OpContext,
): Promise<ImageInfo & { readonly confinement: ConfinementKind }> {
  const { stdout, confinement } = await confinedQemuImg(
    {
      args: (inside) => ['info', '-U', '--output=json', ...foreignSource(inside(path), driver)],
      access: { reads: [path], writes: [] },
      limits: { addressSpaceBytes: TABLES_ADDRESS_SPACE, cpuSeconds: 20, fileBytes: MIB },
      timeoutMs: INFO_TIMEOUT_MS,
    },
    ctx,
  )
  return { ...parseImageInfo(stdout), confinement }
}

/** Throws COMMAND_FAILED when an entry of the image's tables leads outside the file or tables contradict each other; confined. Reads all metadata, no data. */
export async function checkForeignImage({ path, driver }: ForeignImage, ctx: OpContext): Promise<void> {
  await confinedQemuImg(
    {
      args: (inside) => ['check', '-U', '-q', ...foreignSource(inside(path), driver)],
      access: { reads: [path], writes: [] },
      limits: { addressSpaceBytes: WHOLE_ADDRESS_SPACE, cpuSeconds: CHECK_TIMEOUT_MS / 1000, fileBytes: MIB },
      timeoutMs: CHECK_TIMEOUT_MS,
      // 3 = leaked clusters only: wasted space, nothing is wrong with the content.
      okCodes: [3],
    },
    ctx,
  )
}

/**
 * The bytes that a full copy of the image takes on disk, without holes and compression; confined. Reads tables, no data. Errors: those of `run`.
 */
export async function foreignDataBytes({ path, driver }: ForeignImage, ctx: OpContext): Promise<number> {
  const { stdout } = await confinedQemuImg(
    {
      // Of a raw copy it says the whole size; a qcow2 without its few tables has the same data.
      args: (inside) => ['measure', '-U', '-O', 'qcow2', '--output=json', ...foreignSource(inside(path), driver)],
      access: { reads: [path], writes: [] },
      limits: { addressSpaceBytes: TABLES_ADDRESS_SPACE, cpuSeconds: MEASURE_TIMEOUT_MS / 1000, fileBytes: MIB },
      timeoutMs: MEASURE_TIMEOUT_MS,
    },
    ctx,
  )
  return measureSchema.parse(JSON.parse(stdout)).required
}

/** The arguments that name the source of a copy and its driver. */
export function sourceArguments({ place, format }: ConvertSource, inside: (path: string) => string): string[] {
  if (typeof place === 'string' && DRIVER_OPTIONS[format] !== undefined) return foreignSource(inside(place), format)
  return ['-f', format, confinedFileName(place, inside)]
}

// The only way to give a driver options; a comma in a value is written twice.
function foreignSource(path: string, driver: QemuDriver): string[] {
  const options = DRIVER_OPTIONS[driver] === undefined ? '' : `,${DRIVER_OPTIONS[driver]}`
  return [
    '--image-opts',
    `driver=${driver}${options},file.driver=file,file.filename=${imageFileName(path).replaceAll(',', ',,')}`,
  ]
}
