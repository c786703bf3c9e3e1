import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { MIB } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { WorkerCall, WorkerHandlers } from '../platform/workers.ts'
import { errnoOf, poolError } from '../storage/worker/errno.ts'
import { at } from '../storage/worker/pool-root.ts'
import { acceptHead } from './accept-head.ts'
import { SIGNATURE_BYTES } from './file-signature.ts'
import { furtherBytes } from './further-space.ts'
import type { TransferEvent } from './image-fetch.ts'
import { imagePath, openTarget, type ImageTarget } from './image-target.ts'
import { SparseWriter } from './unwrap/sparse-writer.ts'
import type { DigestAlgorithm, Digests } from './verify.ts'

/** Parameters of `image.copy`. */
export interface CopyParams {
  readonly source: ImageTarget
  readonly target: ImageTarget
  readonly temp: string
  readonly algorithms: readonly DigestAlgorithm[]
}

/** What is known of a local file before it is copied. */
export interface SourceLook {
  readonly sizeBytes: number
  /** The least space that is needed beside the copy (further-space.ts). */
  readonly furtherBytes: number
}

const EVENT_EVERY_BYTES = 16 * MIB
const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** Local files as sources of images: part of the transfer worker. */
export const copyHandlers: WorkerHandlers = { 'image.source': look, 'image.copy': copy }

/** Looks at a source that begins like an image or a wrapper. Errors: SOURCE_NOT_FOUND, IMAGE_NOT_AN_IMAGE, IMAGE_REFUSED, those of openTarget. */
async function look({ source }: { source: ImageTarget }): Promise<SourceLook> {
  return guarded(source, async () => {
    await using file = await openSource(source)
    const { size } = await file.stat()
    const head = Buffer.alloc(Math.min(size, SIGNATURE_BYTES))
    await file.read(head, 0, head.length, 0)
    acceptHead(head, size, imagePath(source))
    return { sizeBytes: size, furtherBytes: furtherBytes(head, size) }
  })
}

// Copied first and judged then: whoever can write to the source cannot change what was judged.
async function copy(params: CopyParams, call: WorkerCall): Promise<{ bytes: number; digests: Digests }> {
  const { source, target, temp, algorithms } = params
  return guarded(target, async () => {
    await using file = await openSource(source)
    const before = await file.stat()
    await using directory = await openTarget(target, 'refuse')
    const writer = await SparseWriter.create(at(directory, temp), algorithms)
    try {
      let told = 0
      const stream = file.createReadStream({ highWaterMark: MIB, autoClose: false, signal: call.signal })
      for await (const chunk of stream as AsyncIterable<Buffer>) {
        await writer.write(chunk)
        if (writer.bytes - told < EVENT_EVERY_BYTES) continue
        told = writer.bytes
        call.emit({ bytesReceived: told, bytesDurable: writer.written } satisfies TransferEvent)
      }
      const after = await file.stat()
      if (after.size !== before.size || after.mtimeMs !== before.mtimeMs) {
        throw new AgentError('FILE_CHANGED', `${quote(imagePath(source))} was written to while it was copied`)
      }
      return await writer.finish()
    } finally {
      await writer.close()
    }
  })
}

async function openSource(source: ImageTarget): Promise<FileHandle> {
  const missing = () => new AgentError('SOURCE_NOT_FOUND', `source ${quote(imagePath(source))} is missing on this host`)
  await using directory = await openTarget(source, 'refuse').catch((error: unknown) => {
    throw error instanceof AgentError && error.reason === 'FILE_NOT_FOUND' ? missing() : error
  })
  let file: FileHandle
  try {
    file = await open(at(directory, source.fileName), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const errno = errnoOf(error)
    if (errno === 'ENOENT') throw missing()
    if (errno === 'ELOOP') throw refused(source, 'is a symbolic link, which is not followed')
    throw error
  }
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw refused(source, 'is not a regular file')
}

function refused(source: ImageTarget, why: string): AgentError {
  return new AgentError('SOURCE_REFUSED', `source ${quote(imagePath(source))} ${why}`)
}

async function guarded<T>(target: ImageTarget, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw poolError(error, quote(imagePath(target)))
  }
}
