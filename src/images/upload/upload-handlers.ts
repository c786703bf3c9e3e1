import { constants } from 'node:fs'
import { open, statfs, type FileHandle } from 'node:fs/promises'
import { quote } from '../../core/ids.ts'
import type { WorkerHandlers } from '../../platform/workers.ts'
import { poolError } from '../../storage/worker/errno.ts'
import { at } from '../../storage/worker/pool-root.ts'
import { acceptHead } from '../accept-head.ts'
import { imagePath, openTarget, receivedNames, type ImageTarget } from '../image-target.ts'
import { keepSpace } from '../keep-space.ts'

/** Parameters of `upload.write`: bytes that belong at `offset`. */
export interface UploadPiece {
  readonly target: ImageTarget
  readonly offset: number
  readonly bytes: Uint8Array
  /** Of the whole, when it is known. */
  readonly totalBytes?: number
}

const files = new Map<string, FileHandle>()
const { O_CREAT, O_NOFOLLOW, O_WRONLY } = constants

/** Uploads into the file that the job of the same id takes up later: part of the transfer worker. */
export const uploadHandlers: WorkerHandlers = {
  'upload.open': openUpload,
  'upload.write': writePiece,
  'upload.sync': async ({ target }: { target: ImageTarget }) => guarded(target, () => fileOf(target).datasync()),
}

/** Opens the file with its first `offset` bytes, of which nothing behind survives. */
async function openUpload(params: { target: ImageTarget; offset: number }): Promise<{ freeBytes: number }> {
  const { target, offset } = params
  return guarded(target, async () => {
    await using directory = await openTarget(target, 'make')
    const file = await open(at(directory, receivedNames(target).file), O_WRONLY | O_CREAT | O_NOFOLLOW, 0o644)
    await file.truncate(offset)
    await files.get(target.jobId)?.close()
    files.set(target.jobId, file)
    const { bavail, bsize } = await statfs(at(directory, '.'))
    return { freeBytes: bavail * bsize }
  })
}

async function writePiece({ target, offset, bytes, totalBytes }: UploadPiece): Promise<void> {
  return guarded(target, async () => {
    if (offset === 0) acceptHead(Buffer.from(bytes), totalBytes, target.fileName)
    const file = fileOf(target)
    for (let done = 0; done < bytes.length;) {
      const { bytesWritten } = await file.write(bytes, done, bytes.length - done, offset + done)
      if (bytesWritten === 0) throw Object.assign(new Error('write returned 0'), { code: 'EIO', errno: -5 })
      done += bytesWritten
    }
    if (totalBytes === undefined)
      await keepSpace(`/proc/self/fd/${file.fd}`, 'the upload does not say how much is still to come')
  })
}

function fileOf({ jobId }: ImageTarget): FileHandle {
  const file = files.get(jobId)
  if (file === undefined) throw new Error(`upload ${jobId} is not open`)
  return file
}

async function guarded<T>(target: ImageTarget, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw poolError(error, quote(imagePath(target)))
  }
}
