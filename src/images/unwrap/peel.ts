import type { FileHandle } from 'node:fs/promises'
import { AgentError } from '../../core/errors.ts'
import type { ByteStream } from '../../platform/byte-stream.ts'
import { fileSignature, SIGNATURE_BYTES, type FileSignature } from '../file-signature.ts'
import { ByteReader } from './byte-reader.ts'
import { decompress, isCompressed } from './decompress.ts'
import { tarImage } from './tar-image.ts'
import { zipImage } from './zip-image.ts'

/** The disk image inside a file, as a stream, and what was taken off, outermost first; no layers = the file itself. */
export interface PeeledImage {
  readonly layers: readonly FileSignature[]
  readonly bytes: ByteStream
}

/** A compressed archive with a compressed member has three. */
const MAX_LAYERS = 4

/** Whether a file that begins with `head` is wrapped: compressed, or an archive. */
export function isWrapper(head: Buffer): boolean {
  const signature = fileSignature(head)
  return isStreamed(signature) || signature === 'zip'
}

/** Whether a wrapper with this signature can be taken off by reading it once, from its beginning to its end. */
export function isStreamed(signature: FileSignature): boolean {
  return isCompressed(signature) || signature === 'tar'
}

/** Like `peel`, for the bytes of a file that begins with `outermost`, one of which isStreamed is true. */
export async function peelStream(
  outermost: FileSignature,
  bytes: ByteStream,
  signal: AbortSignal,
): Promise<PeeledImage> {
  return further(outermost, outermost === 'tar' ? tarImage(bytes) : decompress(outermost, bytes, signal), signal)
}

/**
 * Takes every wrapper off a file, by what the bytes are and never by a name: the bytes come while they are read, and what is wrong with a wrapper is thrown as late as its end. Errors: WRAPPER_DAMAGED,
 * WRAPPER_AMBIGUOUS, WRAPPER_TOO_LARGE (nested too deep), COMMAND_MISSING, the abort reason.
 */
export async function peel(file: FileHandle, signal: AbortSignal): Promise<PeeledImage> {
  const head = Buffer.alloc(SIGNATURE_BYTES)
  const { bytesRead } = await file.read(head, 0, head.length, 0)
  const outermost = fileSignature(head.subarray(0, bytesRead))
  const first = await outermostLayer(outermost, file, signal)
  return first === undefined ? { layers: [], bytes: readAll(file) } : further(outermost, first, signal)
}

async function further(outermost: FileSignature, first: ByteStream, signal: AbortSignal): Promise<PeeledImage> {
  const layers = [outermost]
  for (let source = first; ;) {
    const reader = new ByteReader(source)
    const signature = fileSignature(await reader.peek(SIGNATURE_BYTES))
    const bytes = closing(reader)
    if (!isCompressed(signature) && signature !== 'tar') return { layers, bytes }
    layers.push(signature)
    if (layers.length > MAX_LAYERS) {
      await reader.close()
      throw new AgentError(
        'WRAPPER_TOO_LARGE',
        `the file is wrapped more than ${MAX_LAYERS} times (${layers.join(', ')})`,
      )
    }
    source = signature === 'tar' ? tarImage(bytes) : decompress(signature, bytes, signal)
  }
}

async function outermostLayer(
  signature: FileSignature,
  file: FileHandle,
  signal: AbortSignal,
): Promise<ByteStream | undefined> {
  if (isCompressed(signature)) return decompress(signature, { fd: file.fd }, signal)
  if (signature === 'zip') return zipImage(file, signal)
  return signature === 'tar' ? tarImage(readAll(file)) : undefined
}

function closing(reader: ByteReader): ByteStream {
  return {
    async *[Symbol.asyncIterator]() {
      try {
        yield* reader.stream()
      } finally {
        await reader.close()
      }
    },
    async pour(memory, signal) {
      try {
        await reader.pour(memory, signal)
      } finally {
        await reader.close()
      }
    },
  }
}

function readAll(file: FileHandle): AsyncIterable<Buffer> {
  return file.createReadStream({ start: 0, highWaterMark: 1024 * 1024, autoClose: false }) as AsyncIterable<Buffer>
}
