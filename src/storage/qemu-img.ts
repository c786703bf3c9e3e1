import { z } from 'zod'
import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import type { DiskFormat } from '../core/model.ts'
import { run } from '../platform/exec.ts'

/** Formats `qemu-img` may be told a source has; our own volumes are only ever DiskFormat. */
export type ImageFormat = DiskFormat | 'vmdk' | 'vdi' | 'vhdx' | 'vpc'

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
/** A hostile image can make qemu-img take all memory or run for ever while it only reads the header. */
const INFO_LIMITS = ['--as=1073741824', '--cpu=20']

const infoSchema = z.object({
  format: z.string(),
  'virtual-size': z.number().nonnegative(),
  'actual-size': z.number().nonnegative().optional(),
  'backing-filename': z.string().optional(),
  'backing-filename-format': z.string().optional(),
  encrypted: z.boolean().optional(),
  'format-specific': z
    .object({ data: z.looseObject({ 'data-file': z.string().optional() }).optional() })
    .loose()
    .optional(),
})

/** Makes an image at `path`, replacing a file there. Errors: those of `run`, VOLUME_TOO_SMALL never (the caller compares sizes). */
export async function createImage(image: CreateImage, ctx: OpContext): Promise<void> {
  const backing = image.backing === undefined ? [] : ['-b', fileName(image.backing.path), '-F', image.backing.format]
  await qemuImg(
    ['create', '-q', '-f', image.format, ...backing, fileName(image.path), String(image.sizeBytes)],
    CREATE_TIMEOUT_MS,
    ctx,
  )
}

/**
 * Facts about the image at `path`, read as `format` and never guessed: a guest can write any header into its disk. Works on images in use. Errors:
 * IMAGE_NOT_AN_IMAGE when the content is not of that format, those of `run`.
 */
export async function imageInfo(path: string, format: ImageFormat, ctx: OpContext): Promise<ImageInfo> {
  const output = await qemuImg(
    ['info', '-U', '-f', format, '--output=json', fileName(path)],
    INFO_TIMEOUT_MS,
    ctx,
    INFO_LIMITS,
  ).catch((error: unknown) => {
    if (isAgentError(error, 'COMMAND_FAILED') && /not in \S+ format|invalid|Unsupported/i.test(error.message)) {
      throw new AgentError('IMAGE_NOT_AN_IMAGE', `${path} is not a usable ${format} image`, { cause: error })
    }
    throw error
  })
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
  }
}

/** Grows an image that nobody has open; qemu-img refuses to shrink. */
export async function resizeImage(path: string, format: DiskFormat, sizeBytes: number, ctx: OpContext): Promise<void> {
  await qemuImg(['resize', '-q', '-f', format, fileName(path), String(sizeBytes)], CREATE_TIMEOUT_MS, ctx)
}

/** A full, sparse copy of `source` in another file, replacing what is there. `timeoutMs` covers the whole copy. */
export async function convertImage(
  source: { readonly path: string; readonly format: ImageFormat },
  target: { readonly path: string; readonly format: DiskFormat },
  timeoutMs: number,
  ctx: OpContext,
): Promise<void> {
  // -t none / -T none would need O_DIRECT, which tmpfs and some network file systems lack.
  await qemuImg(
    ['convert', '-q', '-U', '-f', source.format, '-O', target.format, fileName(source.path), fileName(target.path)],
    timeoutMs,
    ctx,
  )
}

async function qemuImg(
  args: readonly string[],
  timeoutMs: number,
  ctx: OpContext,
  limits: readonly string[] = [],
): Promise<string> {
  const tool =
    limits.length === 0
      ? { file: 'qemu-img', package: 'qemu-utils', args }
      : { file: 'prlimit', package: 'util-linux', args: [...limits, '--', 'qemu-img', ...args] }
  try {
    return (await run({ ...tool, timeoutMs, maxOutputBytes: 1024 * 1024 }, ctx.signal)).stdout
  } catch (error) {
    throw isAgentError(error, 'COMMAND_FAILED') ? translated(error) : error
  }
}

function translated(error: AgentError): AgentError {
  if (/No space left on device|Disk quota exceeded/.test(error.message)) {
    return new AgentError('POOL_FULL', 'qemu-img ran out of space in the pool; free or add space', { cause: error })
  }
  if (/failed to execute qemu-img/.test(error.message)) {
    return new AgentError('COMMAND_MISSING', 'qemu-img is not installed; install the Debian package qemu-utils')
  }
  // The limiter in front of the tool is of no interest to the reader.
  const message = error.message.replace(/^prlimit /, 'qemu-img ')
  return new AgentError(error.reason, message, { cause: error, details: { ...error.details, command: 'qemu-img' } })
}

// A name with a colon would be taken for a protocol or a `json:` description, one with a dash for an option.
function fileName(path: string): string {
  if (!path.startsWith('/')) throw new AgentError('INVALID_PATH', 'qemu-img needs absolute paths')
  return path
}
