import { constants, type BigIntStats } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { AgentError, errorText } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { SIGNATURE_BYTES, TAIL_BYTES } from './file-signature.ts'
import { parseFile, parseHead } from './formats/drive.ts'
import type { ImageFormatName, ParsedImage } from './formats/format.ts'
import { identify } from './formats/identify.ts'
import { ImageRefusal } from './formats/refusal.ts'

/** What the file itself says, read by our own parsers. */
export interface ImageHeader extends ParsedImage {
  readonly format: ImageFormatName
  readonly fileSizeBytes: number
  /** Which file with which content it is: changes with every write that is old enough to tell. Undefined when the file was written a moment ago, since another write could look the same. */
  readonly identity?: string
}

/** Time stamps are no finer than a tick of the kernel's clock, and on network file systems that of the server. */
const SETTLED_MS = 3_000

/**
 * Reads and judges the headers and tables of `file`. Blocking pool I/O: for worker processes. Errors: FILE_NOT_FOUND, POOL_IO_ERROR, IMAGE_NOT_AN_IMAGE (something else, for
 * example a web page), IMAGE_REFUSED (an image with features that are not allowed); both with `details.refusal`.
 */
export async function readImageHeader(file: string): Promise<ImageHeader> {
  await using handle = await openImage(file)
  return await judgeOpenImage(handle, file)
}

/** Opens a regular file for reading. Errors: FILE_NOT_FOUND, POOL_IO_ERROR, IMAGE_REFUSED. */
export async function openImage(file: string): Promise<FileHandle> {
  let handle: FileHandle
  try {
    // Without O_NONBLOCK the open of a FIFO waits for its writer for ever.
    handle = await open(file, constants.O_RDONLY | constants.O_NONBLOCK)
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code
    if (code === 'ENOENT' || code === 'ENOTDIR') {
      throw new AgentError('FILE_NOT_FOUND', `image ${quote(file)} is not there`, { cause: error })
    }
    throw unreadable(file, error)
  }
  if ((await handle.stat()).isFile()) return handle
  await handle.close()
  throw imageRefused(file, new ImageRefusal('NOT_A_FILE', 'is not a regular file'))
}

/** The verdict on an open file; `name` is for the error text. Errors as readImageHeader. */
export async function judgeOpenImage(handle: FileHandle, name: string): Promise<ImageHeader> {
  const read = async (offset: number, length: number) => {
    const buffer = Buffer.alloc(length)
    const { bytesRead } = await handle.read(buffer, 0, length, offset)
    return buffer.subarray(0, bytesRead)
  }
  try {
    const stats = await handle.stat({ bigint: true })
    const size = Number(stats.size)
    const head = await read(0, Math.min(size, SIGNATURE_BYTES))
    const format = identify(head, await read(Math.max(0, size - TAIL_BYTES), Math.min(size, TAIL_BYTES)))
    const parsed = await parseFile(format.parse(size), ({ offset, length }) => read(offset, length))
    return { format: format.name, fileSizeBytes: size, ...parsed, ...identityOf(stats) }
  } catch (error) {
    if (error instanceof ImageRefusal) throw imageRefused(name, error)
    throw unreadable(name, error)
  }
}

function identityOf({ dev, ino, size, mtimeNs, ctimeNs, ctimeMs }: BigIntStats): Pick<ImageHeader, 'identity'> {
  if (BigInt(Date.now()) - ctimeMs < SETTLED_MS) return {}
  return { identity: [dev, ino, size, mtimeNs, ctimeNs].join(':') }
}

/** Formats a disk of a VM may have as it is. */
export const DISK_FORMATS: readonly ImageFormatName[] = ['qcow2', 'raw']

/**
 * The early verdict on a file that begins with `head` (SIGNATURE_BYTES, more, or all of it) and will have `fileSizeBytes`, when that is known: what shows by now. Only the formats in `taken` pass.
 * Errors: IMAGE_NOT_AN_IMAGE, IMAGE_REFUSED.
 */
export function judgeImageHead(
  head: Buffer,
  fileSizeBytes: number | undefined,
  name: string,
  taken: readonly ImageFormatName[] = DISK_FORMATS,
): ImageFormatName {
  try {
    const format = identify(head)
    requireTaken(format.name, format.title, taken)
    if (fileSizeBytes !== undefined) parseHead(format.parse(fileSizeBytes), head)
    return format.name
  } catch (error) {
    throw error instanceof ImageRefusal ? imageRefused(name, error) : error
  }
}

/** Throws ImageRefusal FORMAT_NOT_TAKEN unless the format is among `taken`. */
export function requireTaken(name: ImageFormatName, title: string, taken: readonly ImageFormatName[]): void {
  if (taken.includes(name)) return
  throw new ImageRefusal('FORMAT_NOT_TAKEN', `is ${title}; only ${taken.join(' and ')} can be used here`)
}

/** A refusal as the error that callers see; `name` is the path or URL of the file. */
export function imageRefused(name: string, { code, message }: ImageRefusal, cause?: unknown): AgentError {
  const other = code === 'NOT_AN_IMAGE' || code === 'FORMAT_NOT_TAKEN'
  return new AgentError(other ? 'IMAGE_NOT_AN_IMAGE' : 'IMAGE_REFUSED', `image ${quote(name)} ${message}`, {
    details: { refusal: code },
    cause,
  })
}

function unreadable(file: string, error: unknown): AgentError {
  return new AgentError('POOL_IO_ERROR', `image ${quote(file)} cannot be read: ${errorText(error)}`, { cause: error })
}
