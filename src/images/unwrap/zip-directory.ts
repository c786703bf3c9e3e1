import type { FileHandle } from 'node:fs/promises'
import { MIB } from '../../core/bytes.ts'
import { damaged } from './member.ts'

/** A file of a ZIP archive, by the central directory. */
export interface ZipEntry {
  readonly name: string
  /** 0 = stored, 8 = deflate. */
  readonly method: number
  readonly encrypted: boolean
  readonly crc32: number
  readonly storedBytes: number
  readonly bytes: number
  /** Where its local header begins. */
  readonly offset: number
}

const END = { mark: 0x06054b50, bytes: 22, maxComment: 0xffff } as const
const END64 = { mark: 0x06064b50, bytes: 56 } as const
const LOCATOR64 = { mark: 0x07064b50, bytes: 20 } as const
const CENTRAL = { mark: 0x02014b50, bytes: 46 } as const
const LOCAL = { mark: 0x04034b50, bytes: 30 } as const
const MAX_DIRECTORY_BYTES = 16 * MIB

/** The files that the central directory lists (APPNOTE 6.3, with ZIP64); directories left out. Throws WRAPPER_DAMAGED. */
export async function readZipDirectory(file: FileHandle): Promise<ZipEntry[]> {
  const { size } = await file.stat()
  const tailBytes = Math.min(size, END.bytes + END.maxComment + LOCATOR64.bytes)
  const tail = await readAt(file, size - tailBytes, tailBytes)
  const end = lastEnd(tail)
  const place = await directoryPlace(file, tail, end)
  if (place.bytes > MAX_DIRECTORY_BYTES) throw damaged('zip', 'its directory is absurdly long')
  return [...entries(await readAt(file, place.offset, place.bytes))].filter(({ name }) => !name.endsWith('/'))
}

/** Where the stored bytes of an entry begin: behind its local header. Throws WRAPPER_DAMAGED. */
export async function dataOffset(file: FileHandle, { offset, name }: ZipEntry): Promise<number> {
  const header = await readAt(file, offset, LOCAL.bytes)
  if (header.readUInt32LE(0) !== LOCAL.mark) throw damaged('zip', `the header of ${name} is missing`)
  return offset + LOCAL.bytes + header.readUInt16LE(26) + header.readUInt16LE(28)
}

/** `length` bytes of the file at `offset`. Throws WRAPPER_DAMAGED when it ends before. */
export async function readAt(file: FileHandle, offset: number, length: number): Promise<Buffer> {
  if (!Number.isSafeInteger(offset) || offset < 0) throw damaged('zip', 'an offset is absurd')
  const buffer = Buffer.alloc(length)
  for (let done = 0; done < length;) {
    const { bytesRead } = await file.read(buffer, done, length - done, offset + done)
    if (bytesRead === 0) throw damaged('zip', 'it ends too early')
    done += bytesRead
  }
  return buffer
}

function lastEnd(tail: Buffer): number {
  for (let at = tail.length - END.bytes; at >= 0; at--) {
    if (tail.readUInt32LE(at) === END.mark && at + END.bytes + tail.readUInt16LE(at + 20) === tail.length) return at
  }
  throw damaged('zip', 'its directory is missing: it is incomplete')
}

async function directoryPlace(file: FileHandle, tail: Buffer, end: number): Promise<{ offset: number; bytes: number }> {
  const plain = { bytes: tail.readUInt32LE(end + 12), offset: tail.readUInt32LE(end + 16) }
  const locator = end - LOCATOR64.bytes
  if (locator < 0 || tail.readUInt32LE(locator) !== LOCATOR64.mark) return plain
  const end64 = await readAt(file, Number(tail.readBigUInt64LE(locator + 8)), END64.bytes)
  if (end64.readUInt32LE(0) !== END64.mark) throw damaged('zip', 'its 64-bit directory is missing')
  return { bytes: Number(end64.readBigUInt64LE(40)), offset: Number(end64.readBigUInt64LE(48)) }
}

function* entries(directory: Buffer): Generator<ZipEntry> {
  for (let at = 0; at + CENTRAL.bytes <= directory.length;) {
    if (directory.readUInt32LE(at) !== CENTRAL.mark) throw damaged('zip', 'its directory is malformed')
    const [nameBytes, extraBytes, commentBytes] = [28, 30, 32].map((offset) => directory.readUInt16LE(at + offset))
    const names = at + CENTRAL.bytes
    const extras = names + (nameBytes ?? 0)
    const next = extras + (extraBytes ?? 0) + (commentBytes ?? 0)
    if (next > directory.length) throw damaged('zip', 'its directory is malformed')
    const sizes = { bytes: directory.readUInt32LE(at + 24), storedBytes: directory.readUInt32LE(at + 20) }
    yield {
      name: directory.toString('utf8', names, extras),
      method: directory.readUInt16LE(at + 10),
      encrypted: (directory.readUInt16LE(at + 8) & 1) !== 0,
      crc32: directory.readUInt32LE(at + 16),
      ...wide(
        { ...sizes, offset: directory.readUInt32LE(at + 42) },
        directory.subarray(extras, extras + (extraBytes ?? 0)),
      ),
    }
    at = next
  }
}

// ZIP64: what does not fit in 32 bits is in an extra field, in this order.
function wide<T extends Readonly<Record<'bytes' | 'storedBytes' | 'offset', number>>>(narrow: T, extra: Buffer): T {
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    if (extra.readUInt16LE(at) !== 1) continue
    let field = at + 4
    const widened = (['bytes', 'storedBytes', 'offset'] as const).map((key) => {
      if (narrow[key] !== 0xffffffff) return [key, narrow[key]]
      if (field + 8 > extra.length) throw damaged('zip', 'its directory is malformed')
      field += 8
      return [key, Number(extra.readBigUInt64LE(field - 8))]
    })
    return { ...narrow, ...(Object.fromEntries(widened) as object) }
  }
  return narrow
}
