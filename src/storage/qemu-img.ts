import { z } from 'zod'
import type { OpContext } from '../core/context.ts'
import { GIB } from '../core/bytes.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import { placeOf, type DiskFormat, type DiskSource, type RbdSource } from '../core/model.ts'
import type { QemuDriver } from '../images/formats/format.ts'
import { environmentWithin } from '../platform/confinement.ts'
import { run } from '../platform/exec.ts'
import { parseImageInfo, type ImageInfo } from './qemu-img-info.ts'
import { keyringBeside } from './rbd-name.ts'

/** What qemu-img opens: the absolute path of a file or device, or a Ceph image. */
export type ImagePlace = string | RbdSource

/** The place of a volume or image for qemu-img. */
export function imagePlace(source: DiskSource): ImagePlace {
  return source.type === 'network' ? source : placeOf(source)
}

/** A new image; with `backing` a qcow2 overlay on it. */
export interface CreateImage {
  readonly path: string
  readonly format: DiskFormat
  /** Virtual size; stated even for overlays, so that it never silently follows the backing file. */
  readonly sizeBytes: number
  readonly backing?: { readonly path: string; readonly format: DiskFormat }
}

const CREATE_TIMEOUT_MS = 60_000
const INFO_TIMEOUT_MS = 30_000
/** Every table of the image is touched. */
const SNAPSHOT_TIMEOUT_MS = 120_000
/** A large fragmented image has many tables, and a Ceph image a map of its objects. */
const MEASURE_TIMEOUT_MS = 120_000
/** A hostile image can make qemu-img run for ever while it only reads tables. */
const INFO_CPU_SECONDS = 20
const measureSchema = z.object({ required: z.number().nonnegative() })

let version: Promise<string> | undefined

/** The version of the qemu-img of this host: `7.2.22`. Asked once, however many want to know at the same time. */
export async function qemuImgVersion(ctx: OpContext): Promise<string> {
  version ??= askVersion(ctx).catch((error: unknown) => {
    version = undefined
    throw error
  })
  return abortable(version, ctx.signal)
}

// For all who ask, so that none of them can give it up.
async function askVersion({ log }: OpContext): Promise<string> {
  const ctx = { signal: AbortSignal.timeout(INFO_TIMEOUT_MS), log }
  return /version (\S+)/.exec(await qemuImg(['--version'], INFO_TIMEOUT_MS, ctx))?.[1] ?? 'unknown'
}

/** Makes an image at `path`, replacing a file there. Errors: those of `run`, VOLUME_TOO_SMALL never (the caller compares sizes). */
export async function createImage(image: CreateImage, ctx: OpContext): Promise<void> {
  const backing =
    image.backing === undefined ? [] : ['-b', imageFileName(image.backing.path), '-F', image.backing.format]
  await qemuImg(
    ['create', '-q', '-f', image.format, ...backing, imageFileName(image.path), String(image.sizeBytes)],
    CREATE_TIMEOUT_MS,
    ctx,
  )
}

/**
 * Facts about the image at `place`, read as `format` and never guessed: a guest can write any header into its disk. Works on images in use. Errors:
 * IMAGE_NOT_AN_IMAGE when the content is not of that format, those of `run`.
 */
export async function imageInfo(place: ImagePlace, format: QemuDriver, ctx: OpContext): Promise<ImageInfo> {
  const output = await qemuImg(
    ['info', '-U', '-f', format, '--output=json', imageFileName(place)],
    INFO_TIMEOUT_MS,
    ctx,
    tablesAddressSpace(place),
  ).catch((error: unknown) => {
    if (isAgentError(error, 'COMMAND_FAILED') && /not in \S+ format|invalid|Unsupported/i.test(error.message)) {
      throw new AgentError('IMAGE_NOT_AN_IMAGE', `${placeText(place)} is not a usable ${format} image`, {
        cause: error,
      })
    }
    throw error
  })
  return parseImageInfo(output)
}

/**
 * True when a QEMU, on this host or another one, has the image at `place` open for writing, as its locks tell (QEMU's documentation, "Image locking"). Errors: those of `run`; what cannot be opened for another reason is told as
 * that, never as free.
 */
export async function hasWriter(place: string, format: DiskFormat, ctx: OpContext): Promise<boolean> {
  try {
    await qemuImg(
      ['info', '-f', format, '--output=json', imageFileName(place)],
      INFO_TIMEOUT_MS,
      ctx,
      TABLES_ADDRESS_SPACE,
    )
    return false
  } catch (error) {
    if (isAgentError(error, 'COMMAND_FAILED') && /Failed to get .*lock/.test(error.message)) return true
    throw error
  }
}

/**
 * Bytes of data in the image at `place`, in whole clusters and without holes: what a full copy of it takes, however it is compressed. Reads tables, no data; for a plain
 * device it is the whole size. Errors: those of `run`.
 */
export async function dataBytes(place: ImagePlace, format: QemuDriver, ctx: OpContext): Promise<number> {
  const args = ['measure', '-U', '-f', format, '-O', 'qcow2', '--output=json', imageFileName(place)]
  const output = await qemuImg(args, MEASURE_TIMEOUT_MS, ctx, tablesAddressSpace(place))
  return measureSchema.parse(JSON.parse(output)).required
}

/** Grows an image that nobody has open; qemu-img refuses to shrink. */
export async function resizeImage(path: string, format: DiskFormat, sizeBytes: number, ctx: OpContext): Promise<void> {
  await qemuImg(['resize', '-q', '-f', format, imageFileName(path), String(sizeBytes)], CREATE_TIMEOUT_MS, ctx)
}

/** Writes what the qcow2 overlay at `path` holds into the file that its header names, which grows when it is smaller; the overlay stays as it is. */
export async function commitImage(path: string, timeoutMs: number, ctx: OpContext): Promise<void> {
  const args = ['commit', '-q', '-d', '-f', 'qcow2', imageFileName(path)]
  await qemuImg(args, timeoutMs, ctx)
}

/** Names another backing file in the header of a qcow2 overlay that nobody has open; reads and moves no data. */
export async function rebaseImage(
  path: string,
  backing: { readonly path: string; readonly format: DiskFormat },
  ctx: OpContext,
): Promise<void> {
  const onto = ['-b', imageFileName(backing.path), '-F', backing.format]
  await qemuImg(['rebase', '-q', '-u', '-f', 'qcow2', ...onto, imageFileName(path)], CREATE_TIMEOUT_MS, ctx)
}

/** Has the header of a qcow2 overlay that nobody has open name its backing file by the name alone that this has beside it: the two can then be read wherever their directory is. The same again changes nothing. */
export async function nameBackingBeside(
  file: string,
  backing: { readonly name: string; readonly format: DiskFormat },
  ctx: OpContext,
): Promise<void> {
  // A colon in it would be taken for a protocol.
  const onto = ['-b', `./${backing.name}`, '-F', backing.format]
  await qemuImg(['rebase', '-q', '-u', '-f', 'qcow2', ...onto, imageFileName(file)], CREATE_TIMEOUT_MS, ctx)
}

/** Makes or removes a snapshot inside a qcow2 that nobody has open; a name that is taken is taken twice, so the caller looks first. */
export async function changeSnapshot(
  change: 'create' | 'delete',
  place: ImagePlace,
  snapshot: string,
  ctx: OpContext,
): Promise<void> {
  // The only way to state the format here; a comma in a value is written twice.
  const image = `driver=qcow2,file.driver=file,file.filename=${imageFileName(place).replaceAll(',', ',,')}`
  const args = ['snapshot', '-q', '--image-opts', change === 'create' ? '-c' : '-d', snapshot, image]
  await qemuImg(args, SNAPSHOT_TIMEOUT_MS, ctx)
}

/** An image or volume that is read; with `snapshot`, an internal snapshot of a qcow2. */
export interface ConvertSource {
  readonly place: ImagePlace
  readonly format: QemuDriver
  readonly snapshot?: string
}

/** True when both images hold the same bytes for a guest. Reads all of both; `timeoutMs` covers that. Errors: those of `run`. */
export async function holdSameBytes(
  a: ConvertSource,
  b: ConvertSource,
  timeoutMs: number,
  ctx: OpContext,
): Promise<boolean> {
  const formats = ['-f', a.format, '-F', b.format]
  const args = ['compare', '-q', '-U', ...formats, imageFileName(a.place), imageFileName(b.place)]
  try {
    await qemuImg(args, timeoutMs, ctx)
    return true
  } catch (error) {
    // 1 means that they differ, more that they cannot be read.
    if (isAgentError(error, 'COMMAND_FAILED') && error.details['exitCode'] === '1') return false
    throw error
  }
}

/** Takes a dirty bitmap out of a qcow2 that nobody has open; success when it has none of that name. Errors: those of `run`. */
export async function removeBitmap(place: ImagePlace, bitmap: string, ctx: Pick<OpContext, 'signal'>): Promise<void> {
  const args = ['bitmap', '--remove', '-f', 'qcow2', imageFileName(place), bitmap]
  await qemuImg(args, SNAPSHOT_TIMEOUT_MS, ctx).catch((error: unknown) => {
    // As after a QEMU that was killed before it had written it.
    if (!isAgentError(error, 'COMMAND_FAILED') || !/bitmap .*not found/i.test(error.message)) throw error
  })
}

async function qemuImg(
  args: readonly string[],
  timeoutMs: number,
  ctx: Pick<OpContext, 'signal'>,
  addressSpaceBytes?: number,
): Promise<string> {
  const tool =
    addressSpaceBytes === undefined
      ? { file: 'qemu-img', package: 'qemu-utils', args }
      : {
          file: 'prlimit',
          package: 'util-linux',
          args: [`--as=${addressSpaceBytes}`, `--cpu=${INFO_CPU_SECONDS}`, '--', 'qemu-img', ...args],
          env: environmentWithin(addressSpaceBytes),
        }
  try {
    return (await run({ ...tool, timeoutMs, maxOutputBytes: 1024 * 1024 }, ctx.signal)).stdout
  } catch (error) {
    throw isAgentError(error, 'COMMAND_FAILED') ? qemuImgError(error) : error
  }
}

/** A failure of qemu-img as what it means. */
export function qemuImgError(error: AgentError): AgentError {
  const full = /No space left on device|(Disk quota exceeded)/.exec(error.message)
  if (full !== null) {
    const details = { errno: full[1] === undefined ? 'ENOSPC' : 'EDQUOT' }
    const text = 'qemu-img ran out of space in the pool; free or add space'
    return new AgentError('POOL_FULL', text, { cause: error, details })
  }
  if (/failed to execute qemu-img/.test(error.message)) {
    return new AgentError('COMMAND_MISSING', 'qemu-img is not installed; install the Debian package qemu-utils')
  }
  // The limiter in front of the tool is of no interest to the reader.
  const message = error.message.replace(/^prlimit /, 'qemu-img ')
  return new AgentError(error.reason, message, { cause: error, details: { ...error.details, command: 'qemu-img' } })
}

/** The name by which qemu-img and its sisters open `place`: one with a colon would be taken for a protocol or a `json:` description, one with a dash for an option. */
export function imageFileName(place: ImagePlace): string {
  if (typeof place !== 'string') return rbdFileName(place)
  if (!place.startsWith('/')) throw new AgentError('INVALID_PATH', 'qemu-img needs absolute paths')
  return place
}

/** What a confined qemu-img needs for opening a place, besides its own files. */
export interface PlaceAccess {
  readonly files: readonly string[]
  readonly network: boolean
  readonly addressSpaceBytes: number
  /** Files and connections at once. */
  readonly openFiles: number
}

/** A hostile image can make qemu-img take all memory while it only reads tables. It reads with up to 64 threads, however small they are, each with a stack of 8 MiB. */
export const TABLES_ADDRESS_SPACE = 2 * GIB
/** The reference counts of a whole image are kept in memory, and a conversion has up to 64 threads. */
export const WHOLE_ADDRESS_SPACE = 4 * GIB
/** librados has threads of its own, each with room for its memory, and a connection to every OSD. */
const CLUSTER = { network: true, addressSpaceBytes: 16 * GIB, openFiles: 4096 } as const
const HOST = { network: false, addressSpaceBytes: WHOLE_ADDRESS_SPACE, openFiles: 256 } as const

function tablesAddressSpace(place: ImagePlace): number {
  return typeof place === 'string' ? TABLES_ADDRESS_SPACE : CLUSTER.addressSpaceBytes
}

/** What is to be let into the cage of a qemu-img that opens `place`. */
export function placeAccess(place: ImagePlace): PlaceAccess {
  if (typeof place === 'string') return { ...HOST, files: [place] }
  return { ...CLUSTER, files: [place.configFile, keyringBeside(place.configFile)] }
}

/** Like imageFileName, where the files of `placeAccess` are called as `inside` says. */
export function confinedFileName(place: ImagePlace, inside: (path: string) => string): string {
  if (typeof place === 'string') return imageFileName(inside(place))
  const { configFile } = place
  const keyring = plainValue(inside(keyringBeside(configFile)))
  return `${rbdFileName({ ...place, configFile: inside(configFile) })}:keyring=${keyring}`
}

// qemu(1), "rbd:": values end at a colon, and a backslash takes the meaning of what follows away.
function rbdFileName({ name, user, configFile }: RbdSource): string {
  return `rbd:${plainValue(name)}:id=${plainValue(user)}:conf=${plainValue(configFile)}`
}

function plainValue(text: string): string {
  return text.replace(/[\\:@=]/g, '\\$&')
}

/** The place for people: a path, or the pool and name of a Ceph image. */
export function placeText(place: ImagePlace): string {
  return typeof place === 'string' ? place : placeOf(place)
}
