import type { FileHandle } from 'node:fs/promises'
import { pipeline, Readable } from 'node:stream'
import { crc32, createInflateRaw } from 'node:zlib'
import { MIB } from '../../core/bytes.ts'
import { AgentError, errorText } from '../../core/errors.ts'
import { ByteReader } from './byte-reader.ts'
import { damaged, isDiskMember, MEMBER_HEAD_BYTES, notOneImage } from './member.ts'
import { dataOffset, readAt, readZipDirectory, type ZipEntry } from './zip-directory.ts'

const MAX_ENTRIES = 10_000
const METHODS = { stored: 0, deflate: 8 } as const

/** The bytes of the one disk image in a ZIP archive; its checksum is held against them at the end. Errors: WRAPPER_AMBIGUOUS, WRAPPER_DAMAGED, the abort reason. */
export async function* zipImage(file: FileHandle, signal: AbortSignal): AsyncGenerator<Buffer> {
  const entries = await readZipDirectory(file)
  if (entries.length > MAX_ENTRIES) throw damaged('zip', `it has more than ${MAX_ENTRIES} files`)
  const images: ZipEntry[] = []
  for (const entry of entries) {
    signal.throwIfAborted()
    if (await isImage(file, entry)) images.push(entry)
  }
  const [image] = images
  if (image === undefined || images.length > 1) {
    const names = images.map(({ name }) => name)
    throw notOneImage('zip', names, entries.length - images.length)
  }
  let sum = 0
  let bytes = 0
  for await (const chunk of content(file, image)) {
    sum = crc32(chunk, sum)
    bytes += chunk.length
    yield chunk
  }
  if (bytes !== image.bytes || sum !== image.crc32) throw damaged('zip', `${image.name} does not match its checksum`)
}

async function isImage(file: FileHandle, entry: ZipEntry): Promise<boolean> {
  if (entry.bytes === 0) return false
  const reader = new ByteReader(content(file, entry))
  try {
    return isDiskMember(entry.name, await reader.peek(Math.min(entry.bytes, MEMBER_HEAD_BYTES)))
  } finally {
    await reader.close()
  }
}

async function* content(file: FileHandle, entry: ZipEntry): AsyncGenerator<Buffer> {
  const { name, method, encrypted, storedBytes } = entry
  if (encrypted) throw damaged('zip', `${name} is encrypted`)
  if (method !== METHODS.stored && method !== METHODS.deflate) {
    throw damaged('zip', `${name} is compressed by method ${method}; only deflate is understood`)
  }
  const stored = pieces(file, await dataOffset(file, entry), storedBytes)
  if (method === METHODS.stored) yield* stored
  else yield* inflate(stored, name)
}

async function* inflate(stored: AsyncIterable<Buffer>, name: string): AsyncGenerator<Buffer> {
  const output = createInflateRaw({ chunkSize: MIB / 4 })
  // What goes wrong arrives at the reader of the output.
  pipeline(Readable.from(stored, { objectMode: false }), output, () => undefined)
  try {
    yield* output as AsyncIterable<Buffer>
  } catch (error) {
    throw error instanceof AgentError ? error : damaged('zip', `${name}: ${errorText(error)}`)
  }
}

async function* pieces(file: FileHandle, offset: number, length: number): AsyncGenerator<Buffer> {
  for (let done = 0; done < length;) {
    const piece = await readAt(file, offset + done, Math.min(MIB, length - done))
    done += piece.length
    yield piece
  }
}
