import { createHash } from 'node:crypto'
import { constants } from 'node:fs'
import { open, rm, type FileHandle } from 'node:fs/promises'
import { monotonicMs } from '../platform/clock.ts'
import { errnoOf } from '../storage/worker/errno.ts'
import type { SourceContent } from './source-content.ts'
import type { Digests } from './verify.ts'

/** How far a transfer has come, as a later run finds it. */
export interface JournalEntry {
  readonly version: 1
  readonly content: SourceContent
  /** Bytes of the file that were synced, a multiple of 1 MiB unless `complete`. */
  readonly durable: number
  /** The URL of the request that the content came from; absent in journals of earlier versions. */
  readonly url?: string
  /** Inode of the file this is about. */
  readonly inode: number
  /** The whole is there, and this is what was made of it. */
  readonly complete?: { readonly digests: Digests; readonly mtimeMs: number }
}

const SLOT_BYTES = 32 * 1024
const SYNC_EVERY_MS = 1_000

/**
 * A file of two slots that are written in turn, each with its own digest: whatever moment a kill or a power cut comes at, one of them is whole. It has the rights of root alone, because the location
 * of a content may carry a token. Its owner syncs the data first: an entry never claims more than what is on disk.
 */
export class TransferJournal {
  readonly #handle: FileHandle
  #sequence: number
  #waiting: JournalEntry | undefined
  #writing: Promise<void> | undefined
  #syncedAt = -Infinity

  private constructor(handle: FileHandle, sequence: number) {
    this.#handle = handle
    this.#sequence = sequence
  }

  /** Opens or makes the journal at `file`; `entry` is what an earlier run left. */
  static async open(file: string): Promise<{ journal: TransferJournal; entry: JournalEntry | undefined }> {
    const handle = await openFile(file)
    try {
      const { last, bytesRead } = await lastEntry(handle)
      // Space that is taken now is not missing later.
      const missing = 2 * SLOT_BYTES - bytesRead
      if (missing > 0) await handle.write(Buffer.alloc(missing), 0, null, bytesRead)
      return { journal: new TransferJournal(handle, last?.sequence ?? 0), entry: last?.entry }
    } catch (error) {
      await handle.close()
      throw error
    }
  }

  /** What the journal at `file` says, without taking it up; undefined when there is none, or nothing in it. */
  static async read(file: string): Promise<JournalEntry | undefined> {
    try {
      await using handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW)
      return await lastEntry(handle).then(({ last }) => last?.entry)
    } catch (error) {
      if (errnoOf(error) === 'ENOENT') return undefined
      throw error
    }
  }

  /** Writes the entry soon; a later one takes the place of one that waits. Rejections are those of the write that was under way. */
  async note(entry: JournalEntry): Promise<void> {
    this.#waiting = entry
    await (this.#writing ??= this.#writeWaiting().finally(() => (this.#writing = undefined)))
  }

  /** Writes the entry, and has it on disk when it resolves. */
  async put(entry: JournalEntry): Promise<void> {
    await this.note(entry)
    await this.#handle.datasync()
  }

  /** Makes earlier entries void, durably. */
  async reset(): Promise<void> {
    await this.#writing
    await this.#handle.write(Buffer.alloc(2 * SLOT_BYTES), 0, null, 0)
    await this.#handle.datasync()
  }

  async close(): Promise<void> {
    await this.#writing?.catch(() => undefined)
    await this.#handle.close()
  }

  async #writeWaiting(): Promise<void> {
    while (this.#waiting !== undefined) {
      const entry = this.#waiting
      this.#waiting = undefined
      const sequence = ++this.#sequence
      const text = JSON.stringify({ sequence, entry })
      const slot = Buffer.alloc(SLOT_BYTES)
      const length = slot.write(`${digestOf(text)} ${text}\n`)
      if (length >= SLOT_BYTES) continue
      await this.#handle.write(slot, 0, SLOT_BYTES, (sequence % 2) * SLOT_BYTES)
      if (monotonicMs() - this.#syncedAt < SYNC_EVERY_MS) continue
      this.#syncedAt = monotonicMs()
      await this.#handle.datasync()
    }
  }
}

/** Removes the journal at `file`, if there is one. */
export async function removeJournal(file: string): Promise<void> {
  await rm(file, { force: true })
}

async function openFile(file: string): Promise<FileHandle> {
  const flags = constants.O_RDWR | constants.O_NOFOLLOW
  try {
    return await open(file, flags)
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error
    return open(file, flags | constants.O_CREAT | constants.O_EXCL, 0o600)
  }
}

async function lastEntry(handle: FileHandle) {
  const buffer = Buffer.alloc(2 * SLOT_BYTES)
  const { bytesRead } = await handle.read(buffer, 0, buffer.length, 0)
  const slots = [buffer.subarray(0, SLOT_BYTES), buffer.subarray(SLOT_BYTES, bytesRead)].flatMap(parseSlot)
  return { last: slots.sort((a, b) => b.sequence - a.sequence)[0], bytesRead }
}

function parseSlot(slot: Buffer): { sequence: number; entry: JournalEntry }[] {
  const line = slot.subarray(0, Math.max(0, slot.indexOf('\n'))).toString()
  const [digest, text] = [line.slice(0, 64), line.slice(65)]
  if (text === '' || digestOf(text) !== digest) return []
  const value = JSON.parse(text) as { sequence: number; entry: JournalEntry }
  return value.entry.version === 1 ? [value] : []
}

function digestOf(text: string): string {
  return createHash('sha256').update(text).digest('hex')
}
