import { lstat, open, type FileHandle } from 'node:fs/promises'
import { AgentError } from '../core/errors.ts'
import { firstFailure } from '../core/first-failure.ts'
import { quote } from '../core/ids.ts'
import type { OpenDownload } from '../platform/http-fetch.ts'
import { poolError } from '../storage/worker/errno.ts'
import { at } from '../storage/worker/pool-root.ts'
import { CHUNK_BYTES } from './durable-writer.ts'
import { SIGNATURE_BYTES } from './file-signature.ts'
import { furtherBytes } from './further-space.ts'
import { transferImage, type TransferEvent } from './image-fetch.ts'
import { ImageSource, type SourceOrder } from './image-source.ts'
import { imagePath, openTarget, receivedNames, type ImageTarget } from './image-target.ts'
import type { TokenBucket } from './paced-sink.ts'
import { TransferJournal, type JournalEntry } from './transfer-journal.ts'
import type { Checksum, DigestAlgorithm, Digests } from './verify.ts'

/** What is to be received, and where to. Plain data for the worker. */
export interface TransferOrder extends Omit<SourceOrder, 'proven'> {
  readonly target: ImageTarget
  /** Digests of the whole that are known from elsewhere. */
  readonly expected: readonly Checksum[]
  readonly algorithms: readonly DigestAlgorithm[]
  /** Digests of the image inside, should this be wrapped. */
  readonly innerAlgorithms: readonly DigestAlgorithm[]
  readonly stallTimeoutMs: number
}

/** Whoever reads the file behind the receiver. */
export interface TransferFollower {
  /** Rejects with what makes it useless to receive more. */
  readonly failure: Promise<never>
  /** The file has its first `bytes` bytes; `direct`: past the page cache. */
  grown(bytes: number, direct: boolean): void
  /** Resolves when nothing of the file is read any more: it begins at its first byte again. */
  beginAgain(): Promise<void>
  /** The file is complete, durable, and has the digests that it must have. */
  end(): void
}

/** Something for the log of the job. */
export interface TransferNotice {
  readonly notice: string
  readonly facts: Readonly<Record<string, string | number>>
}

/** What the worker tells beside results. */
export type SessionEvent = TransferEvent | TransferNotice | NeededSpace

/** How much space is needed at least beside the source (further-space.ts). */
export interface NeededSpace {
  readonly furtherBytes: number
}

/** What is known before the first new byte. */
export interface TransferStart {
  /** Bytes that an earlier run left, and that are not fetched again. */
  readonly from: number
  readonly totalLength?: number
  /** The least space that is needed beside the source, by what an earlier run left. */
  readonly furtherBytes?: number
}

/** The received bytes: durable, in the file `temp` of the target's directory. */
export interface TransferEnd {
  readonly temp: string
  readonly bytes: number
  readonly digests: Digests
  readonly finalUrl: string
}

/** The part of a download that moves bytes, from the first connection to the durable file, with the journal of it beside the file. One per job and worker process. */
export class TransferSession {
  readonly order: TransferOrder
  readonly #directory: FileHandle
  readonly #journal: TransferJournal
  readonly #source: ImageSource
  readonly #kept: JournalEntry | undefined
  readonly #bucket: TokenBucket
  #download: OpenDownload | undefined
  #inode: number | undefined
  /** Settles when what was durable so far is noted. */
  #noted: Promise<void> = Promise.resolve()
  #onEvent: (event: SessionEvent) => void

  private constructor(
    order: TransferOrder,
    directory: FileHandle,
    journal: TransferJournal,
    kept: JournalEntry | undefined,
    bucket: TokenBucket,
    onEvent: (event: SessionEvent) => void,
  ) {
    this.order = order
    this.#bucket = bucket
    this.#directory = directory
    this.#journal = journal
    this.#kept = kept
    this.#inode = kept?.inode
    this.#onEvent = onEvent
    const notice = (text: string, facts = {}) => this.#onEvent({ notice: text, facts })
    this.#source = new ImageSource({ ...order, proven: order.expected.length > 0 }, notice, kept?.content)
    this.#source.reached(kept?.durable ?? 0)
  }

  /** Looks at what an earlier run left. `onEvent` gets notices until `receive` is called; `bucket` paces what arrives. Errors: those of openTarget, POOL_FULL, POOL_NOT_WRITABLE, POOL_IO_ERROR. */
  static async begin(
    order: TransferOrder,
    bucket: TokenBucket,
    onEvent: (event: SessionEvent) => void,
  ): Promise<TransferSession> {
    const directory = await openTarget(order.target, 'refuse')
    try {
      const names = receivedNames(order.target)
      const { journal, entry } = await TransferJournal.open(at(directory, names.journal))
      const kept = entry === undefined ? undefined : await usable(at(directory, names.file), entry, order)
      return new TransferSession(order, directory, journal, kept, bucket, onEvent)
    } catch (error) {
      await directory.close()
      throw poolError(error, quote(imagePath(order.target)))
    }
  }

  /** Connects for the bytes that are missing, and waits with the body. Errors: those of ImageSource.open. */
  async open(signal: AbortSignal): Promise<TransferStart> {
    const kept = this.#kept
    if (kept?.complete !== undefined) {
      return { from: kept.durable, totalLength: kept.durable, furtherBytes: await this.#furtherBytes(kept.durable) }
    }
    this.#download = await this.#source.open(kept?.durable ?? 0, signal)
    const totalLength = this.#source.content?.totalLength
    const { from } = this.#download
    if (totalLength === undefined) return { from }
    return { from, totalLength, ...(from > 0 ? { furtherBytes: await this.#furtherBytes(totalLength) } : {}) }
  }

  /** Receives the rest; `follower` is not told of what an earlier run has completed. Errors: those of transferImage and of the follower. */
  async receive(
    onEvent: (event: SessionEvent) => void,
    signal: AbortSignal,
    follower?: TransferFollower,
  ): Promise<TransferEnd> {
    const { target, expected, algorithms, stallTimeoutMs } = this.order
    this.#onEvent = onEvent
    const temp = receivedNames(target).file
    const kept = this.#kept
    if (kept?.complete !== undefined) {
      const { content, durable, complete } = kept
      return { temp, bytes: durable, digests: complete.digests, finalUrl: content.finalUrl }
    }
    if (this.#download === undefined) throw new AgentError('INTERNAL', 'the transfer has no open connection')
    const file = at(this.#directory, temp)
    const { failure, fail } = firstFailure()
    follower?.failure.catch(fail)
    const stop = new AbortController()
    const work = transferImage(this.#source, this.#download, {
      file,
      expected,
      algorithms,
      stallTimeoutMs,
      signal: AbortSignal.any([signal, stop.signal]),
      bucket: this.#bucket,
      onEvent,
      onHead: (head) => {
        const total = this.#source.content?.totalLength
        if (total !== undefined) onEvent({ furtherBytes: furtherBytes(head, total) })
      },
      onWritten: (bytes, direct) => follower?.grown(bytes, direct),
      onDurable: (bytes) => {
        const noted = this.#note(file, bytes).catch(fail)
        this.#noted = this.#noted.then(() => noted)
      },
      onBeginAgain: async () => {
        await this.#noted
        this.#inode = undefined
        await follower?.beginAgain()
        await this.#journal.reset()
      },
    })
    try {
      const { bytes, digests } = await Promise.race([work, failure])
      const { mtimeMs } = await lstat(file)
      await this.#note(file, bytes, { digests, mtimeMs })
      follower?.end()
      return { temp, bytes, digests, finalUrl: this.#source.content?.finalUrl ?? '' }
    } catch (error) {
      stop.abort(error)
      await Promise.allSettled([work])
      throw poolError(error, quote(imagePath(target)))
    }
  }

  /** Drops the connection. */
  hangUp(): void {
    this.#download?.close()
  }

  /** Lets go of everything; the files stay. */
  async close(): Promise<void> {
    this.hangUp()
    await this.#journal.close()
    await this.#directory.close()
  }

  async #furtherBytes(total: number): Promise<number> {
    await using file = await open(at(this.#directory, receivedNames(this.order.target).file))
    const { buffer, bytesRead } = await file.read(Buffer.alloc(SIGNATURE_BYTES), 0, SIGNATURE_BYTES, 0)
    return furtherBytes(buffer.subarray(0, bytesRead), total)
  }

  async #note(file: string, durable: number, complete?: JournalEntry['complete']): Promise<void> {
    const content = this.#source.content
    if (content === undefined) return
    this.#inode ??= await this.#madeFile(file)
    const url = this.order.urls[content.source] ?? ''
    const entry: JournalEntry = { version: 1, content, durable, url, inode: this.#inode }
    if (complete === undefined) await this.#journal.note(entry)
    else await this.#journal.put({ ...entry, complete })
  }

  // The name of the file is to outlive a power cut as its bytes do.
  async #madeFile(file: string): Promise<number> {
    await this.#directory.sync()
    return (await lstat(file)).ino
  }
}

// What the journal says, as far as the file is still there.
async function usable(file: string, entry: JournalEntry, order: TransferOrder): Promise<JournalEntry | undefined> {
  const stats = await lstat(file).catch(() => undefined)
  const isSame = stats?.isFile() === true && stats.ino === entry.inode && stats.size >= entry.durable
  const url = order.urls[entry.content.source]
  if (stats === undefined || !isSame || url === undefined || (entry.url ?? url) !== url) return undefined
  if (entry.complete !== undefined) {
    const { mtimeMs, digests } = entry.complete
    const whole = stats.size === entry.durable && stats.mtimeMs === mtimeMs
    return whole && order.algorithms.every((name) => digests[name] !== undefined) ? entry : undefined
  }
  // Nothing to ask a server for would be an answer without a body: the last chunk is fetched again.
  const all = entry.durable === entry.content.totalLength
  const durable = Math.floor(entry.durable / CHUNK_BYTES) * CHUNK_BYTES - (all ? CHUNK_BYTES : 0)
  return durable > 0 ? { ...entry, durable } : undefined
}
