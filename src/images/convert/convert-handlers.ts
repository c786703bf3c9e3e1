import { createHash } from 'node:crypto'
import { open, statfs } from 'node:fs/promises'
import { MIB } from '../../core/bytes.ts'
import { quote } from '../../core/ids.ts'
import type { WorkerCall, WorkerHandlers } from '../../platform/workers.ts'
import { poolError } from '../../storage/worker/errno.ts'
import { at } from '../../storage/worker/pool-root.ts'
import { openForWriting } from '../direct-file.ts'
import type { TransferEvent } from '../image-fetch.ts'
import { imagePath, openTarget, type ImageTarget } from '../image-target.ts'
import type { DigestAlgorithm, Digests } from '../verify.ts'

/** An empty file that another program is about to fill. */
export interface CreatedFile {
  /** The file system can be written past the page cache. */
  readonly direct: boolean
  readonly freeBytes: number
}

/** Parameters of `image.seal`. */
export interface SealParams {
  readonly target: ImageTarget
  readonly temp: string
  readonly algorithms: readonly DigestAlgorithm[]
}

/** What goes before and after a conversion: part of the transfer worker. */
export const convertHandlers: WorkerHandlers = { 'image.create': create, 'image.seal': seal }

async function create({ target, temp }: { target: ImageTarget; temp: string }): Promise<CreatedFile> {
  return guarded(target, async () => {
    await using directory = await openTarget(target, 'refuse')
    const { handle, direct } = await openForWriting(at(directory, temp), 0)
    await handle.truncate(0)
    await handle.close()
    const { bavail, bsize } = await statfs(at(directory, '.'))
    return { direct, freeBytes: bavail * bsize }
  })
}

// The program that wrote the file said nothing of what is on disk.
async function seal(
  { target, temp, algorithms }: SealParams,
  call: WorkerCall,
): Promise<{ bytes: number; digests: Digests }> {
  return guarded(target, async () => {
    await using directory = await openTarget(target, 'refuse')
    await using file = await open(at(directory, temp), 'r')
    await file.sync()
    const hashes = algorithms.map((name) => [name, createHash(name)] as const)
    let bytes = 0
    const stream = file.createReadStream({ highWaterMark: MIB, autoClose: false, signal: call.signal })
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      for (const [, hash] of hashes) hash.update(chunk)
      bytes += chunk.length
      call.emit({ bytesReceived: bytes, bytesDurable: bytes } satisfies TransferEvent)
    }
    return { bytes, digests: Object.fromEntries(hashes.map(([name, hash]) => [name, hash.digest('hex')])) }
  })
}

async function guarded<T>(target: ImageTarget, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw poolError(error, quote(imagePath(target)))
  }
}
