import { constants } from 'node:fs'
import { lstat, open, rm, statfs, type FileHandle } from 'node:fs/promises'
import { MIB } from '../../core/bytes.ts'
import { quote } from '../../core/ids.ts'
import type { WorkerCall, WorkerHandlers } from '../../platform/workers.ts'
import { errnoOf, poolError } from '../../storage/worker/errno.ts'
import { at } from '../../storage/worker/pool-root.ts'
import { CHUNK_BYTES } from '../durable-writer.ts'
import type { TransferEvent } from '../image-fetch.ts'
import { imagePath, openTarget, receivedNames, type ImageTarget } from '../image-target.ts'
import { TransferJournal, type JournalEntry } from '../transfer-journal.ts'
import { SparseWriter } from '../unwrap/sparse-writer.ts'

/** Parameters of `lease.inherit`. */
export interface InheritParams {
  /** With the lease that was taken from the dead host. */
  readonly target: ImageTarget
  /** Its job, as the lease names it. */
  readonly fromJob: string
  /** Where the image comes from now. */
  readonly urls: readonly string[]
}

/** What is left for the rest of the image when a copy is there: beside it, the original goes. */
const KEEP_FREE_BYTES = 64 * MIB
const JOB_ID = /^[A-Za-z0-9-]{1,64}$/
/** Not a link, and not to wait for whoever opens the other end of a FIFO. */
const OPEN_FLAGS = constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK

/** Going on with what a dead host has received: part of the transfer worker. */
export const inheritHandlers: WorkerHandlers = { 'lease.inherit': inherit }

/**
 * Makes what the job of a dead host has received durably into what this job has received; returns how many bytes that is, 0 when nothing of it can be used. It is a copy, and not the file itself, because the other host may only
 * have slept: what it writes when it wakes up goes to a file that has no name any more. Errors: those of openTarget, POOL_FULL, POOL_IO_ERROR.
 */
async function inherit({ target, fromJob, urls }: InheritParams, call: WorkerCall): Promise<number> {
  if (!JOB_ID.test(fromJob) || fromJob === target.jobId) return 0
  try {
    await using directory = await openTarget(target, 'refuse')
    const [theirs, ours] = [receivedNames({ ...target, jobId: fromJob }), receivedNames(target)]
    // What this job has is as good, and needs no copy.
    if ((await lstat(at(directory, ours.file)).catch(ifMissing)) !== undefined) return 0
    // Opened first: what is checked then is what is copied, whatever the other host puts in its place.
    await using source = await open(at(directory, theirs.file), OPEN_FLAGS).catch(ifMissing)
    const found = source && (await findReceived(directory, theirs.journal, source, urls))
    if (source === undefined || found === undefined) return 0
    const inode = await copy(source, at(directory, ours.file), found.durable, call)
    await directory.sync()
    const { journal } = await TransferJournal.open(at(directory, ours.journal))
    try {
      await journal.put({ ...found, inode })
    } finally {
      await journal.close()
    }
    for (const name of Object.values(theirs)) await rm(at(directory, name), { force: true })
    return found.durable
  } catch (error) {
    throw poolError(error, quote(imagePath(target)))
  }
}

// Missing, or a link, which is nobody's download. What cannot be looked at is told to the caller, who goes on without it and logs why.
function ifMissing(error: unknown): undefined {
  const errno = errnoOf(error)
  if (errno !== 'ENOENT' && errno !== 'ELOOP') throw error
}

// What their journal says, as far as it is about this file, is of one of our URLs, and can be copied.
async function findReceived(
  directory: FileHandle,
  journal: string,
  file: FileHandle,
  urls: readonly string[],
): Promise<JournalEntry | undefined> {
  const entry = await TransferJournal.read(at(directory, journal))
  const source = entry?.url === undefined ? -1 : urls.indexOf(entry.url)
  if (entry === undefined || source < 0) return undefined
  const { durable: told, content, inode, url } = entry
  const durable = Math.floor(told / CHUNK_BYTES) * CHUNK_BYTES
  const stats = await file.stat()
  if (!stats.isFile() || stats.ino !== inode || stats.size < durable || durable === 0) return undefined
  const { bavail, bsize } = await statfs(at(directory, '.'))
  if (bavail * bsize < durable + KEEP_FREE_BYTES) return undefined
  return { version: 1, content: { ...content, source }, durable, inode, ...(url === undefined ? {} : { url }) }
}

async function copy(source: FileHandle, to: string, bytes: number, call: WorkerCall): Promise<number> {
  const writer = await SparseWriter.create(to, [])
  try {
    const end = bytes - 1
    const stream = source.createReadStream({ end, highWaterMark: MIB, autoClose: false, signal: call.signal })
    for await (const chunk of stream as AsyncIterable<Buffer>) {
      await writer.write(chunk)
      call.emit({ bytesReceived: writer.bytes, bytesDurable: 0 } satisfies TransferEvent)
    }
    if (writer.bytes !== bytes) throw Object.assign(new Error('it became shorter'), { code: 'EIO' })
    await writer.finish()
    return (await lstat(to)).ino
  } catch (error) {
    await rm(to, { force: true })
    throw error
  } finally {
    await writer.close()
  }
}
