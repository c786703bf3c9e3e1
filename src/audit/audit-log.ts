import { chmod, mkdir, open, rm, type FileHandle } from 'node:fs/promises'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { delay } from '../platform/clock.ts'
import { syncDirectory } from '../platform/files.ts'
import { auditFile, encodeHead, headPath, listAuditFiles } from './audit-files.ts'
import { CHAIN_START, encodeLine, type AuditEvent, type ChainEnd } from './audit-line.ts'
import { findAuditTail } from './audit-tail.ts'

/** Where the log is and how much of it is kept. */
export interface AuditLogOptions {
  readonly directory: string
  /** A file is followed by the next one when it has so many bytes. */
  readonly maxFileBytes: number
  readonly keepFiles: number
  readonly log: Logger
  readonly now?: () => Date
}

/** How writing goes. */
export interface AuditStatus {
  readonly healthy: boolean
  /** Number of the last line on disk. */
  readonly lines: number
  /** Lines that wait for the disk. */
  readonly waiting: number
  /** Lines since the start that were given up, because too many waited. */
  readonly lost: number
}

interface Waiting {
  readonly time: string
  readonly event: AuditEvent
  readonly done: PromiseWithResolvers<void>
}

const MAX_WAITING = 10_000
const MAX_BATCH = 256
const RETRY_MS = 5_000
/** A disk that does not answer for so long counts as one that refuses. */
const STALLED_MS = 2_000
/** The same while it is known not to answer: every call would wait. */
const STILL_STALLED_MS = 200
/** How long the end of the agent waits for it. */
const CLOSE_MS = 5_000

/**
 * The writer of the hash-chained log: JSON lines in files of mode 0600, each on disk (fdatasync) before its promise resolves; lines that come together share one write. What
 * cannot be written waits in memory (up to 10,000 lines) and is tried again.
 */
export class AuditLog {
  readonly #options: AuditLogOptions
  readonly #waiting: Waiting[] = []
  #file: FileHandle | undefined
  #head: FileHandle | undefined
  #size = 0
  #end: ChainEnd = CHAIN_START
  // Bytes of a write that failed half-way are behind #size.
  #dirty = false
  #flushing: Promise<void> | undefined
  #retry: NodeJS.Timeout | undefined
  #failing = false
  #lost = { total: 0, untold: 0, since: '' }
  #closed = false

  constructor(options: AuditLogOptions) {
    this.#options = options
  }

  /** Resolves when the line is on disk. AUDIT_UNAVAILABLE when it is not, or not within 2 s; it is tried again all the same. */
  async append(event: AuditEvent): Promise<void> {
    const time = (this.#options.now?.() ?? new Date()).toISOString()
    if (this.#closed || this.#waiting.length >= MAX_WAITING) {
      if (this.#lost.untold++ === 0) this.#lost.since = time
      this.#lost.total++
      throw this.#unavailable('too many lines wait for the disk')
    }
    const entry = { time, event, done: Promise.withResolvers<void>() }
    // It may fail before anybody waits; who does gets the failure below.
    entry.done.promise.catch(() => undefined)
    this.#waiting.push(entry)
    this.#flush()
    // Who waits for a disk that hangs would do so for ever.
    const waitMs = this.#failing ? STILL_STALLED_MS : STALLED_MS
    const late = setTimeout(() => {
      entry.done.reject(this.#unavailable(`no answer of the disk within ${waitMs} ms`))
      this.#tellFailing('the disk does not answer')
    }, waitMs)
    try {
      await entry.done.promise
    } finally {
      clearTimeout(late)
    }
  }

  status(): AuditStatus {
    const waiting = this.#waiting.length
    return { healthy: !this.#failing, lines: this.#end.seq, waiting, lost: this.#lost.total }
  }

  /** Writes what waits, at most once more, and closes the files; a disk that hangs is given up after 5 s. */
  async close(): Promise<void> {
    this.#closed = true
    const late = new AbortController()
    const given = delay(CLOSE_MS, late.signal).then(
      () => this.#tellFailing('the disk does not answer'),
      () => undefined,
    )
    await Promise.race([this.#finish(), given])
    late.abort()
  }

  async #finish(): Promise<void> {
    clearTimeout(this.#retry)
    await this.#flushing
    this.#flush()
    await this.#flushing
    clearTimeout(this.#retry)
    await this.#head?.sync().catch((error: unknown) => this.#tellFailing(errorText(error)))
    await Promise.all([this.#file?.close(), this.#head?.close()])
    this.#file = this.#head = undefined
  }

  #flush(): void {
    if (this.#flushing !== undefined) return
    clearTimeout(this.#retry)
    this.#flushing = this.#writeAll().finally(() => {
      this.#flushing = undefined
      // What came after the last look.
      if (this.#waiting.length > 0 && !this.#failing) this.#flush()
    })
  }

  async #writeAll(): Promise<void> {
    // Calls of the same turn share a write.
    await Promise.resolve()
    try {
      while (this.#waiting.length > 0) await this.#writeBatch()
      if (this.#failing) {
        this.#failing = false
        this.#options.log.info({ directory: this.#options.directory }, 'the audit log can be written again')
      }
    } catch (error) {
      this.#tellFailing(errorText(error))
      for (const { done } of this.#waiting) done.reject(this.#unavailable(errorText(error)))
      if (!this.#closed) this.#retry = setTimeout(() => this.#flush(), RETRY_MS).unref()
    }
  }

  async #writeBatch(): Promise<void> {
    const file = (this.#file ??= await this.#open())
    if (this.#dirty) await file.truncate(this.#size)
    this.#dirty = false
    if (this.#size >= this.#options.maxFileBytes) return this.#rotate()
    const { untold } = this.#lost
    const lost: AuditEvent[] = untold === 0 ? [] : [{ type: 'lost', count: untold, since: this.#lost.since }]
    const batch = this.#waiting.slice(0, MAX_BATCH)
    await this.#write(file, [...batch, ...lost.map((event) => ({ time: new Date().toISOString(), event }))])
    this.#lost.untold -= untold
    this.#waiting.splice(0, batch.length)
    for (const { done } of batch) done.resolve()
  }

  async #write(file: FileHandle, events: readonly { time: string; event: AuditEvent }[]): Promise<void> {
    let end = this.#end
    let text = ''
    for (const { time, event } of events) {
      const line = encodeLine(end, time, event)
      text += `${line.text}\n`
      end = line.end
    }
    this.#dirty = true
    // On an append handle: all of it, or an error.
    await file.writeFile(text)
    await file.datasync()
    this.#dirty = false
    this.#size += Buffer.byteLength(text)
    this.#end = end
    // The lines are there; a kept end that is behind still proves those before it.
    await this.#head?.write(encodeHead(end), 0).catch((error: unknown) => this.#tellFailing(errorText(error)))
  }

  // The new file is whole before an old one goes, and says which are gone.
  async #rotate(): Promise<void> {
    const { directory, keepFiles } = this.#options
    const next = auditFile(directory, this.#end.seq + 1)
    const files = [...(await listAuditFiles(directory)).filter(({ first }) => first < next.first), next]
    const kept = files.slice(-keepFiles)
    const former = this.#file
    const file = await this.#openFile(next.path)
    this.#file = file
    this.#size = 0
    await former?.close()
    await file.truncate(0)
    await this.#write(file, [{ time: new Date().toISOString(), event: rotated(kept[0]?.first ?? next.first) }])
    await syncDirectory(directory)
    for (const { path } of files.slice(0, -keepFiles)) await rm(path, { force: true })
  }

  async #open(): Promise<FileHandle> {
    const { directory, log } = this.#options
    await mkdir(directory, { recursive: true, mode: 0o700 })
    await chmod(directory, 0o700)
    const tail = await findAuditTail(directory)
    // A file is named after its first line.
    const first = tail.end.seq + 1
    const isNew = tail.sizeBytes === 0
    if (isNew && tail.file.first !== first) await rm(tail.file.path, { force: true })
    this.#head ??= await open(headPath(directory), 'r+').catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'ENOENT') throw error
      return open(headPath(directory), 'wx+', 0o600)
    })
    const file = await this.#openFile(isNew ? auditFile(directory, first).path : tail.file.path)
    try {
      await file.truncate(tail.sizeBytes)
      this.#size = tail.sizeBytes
      if (tail.lacksBreak) {
        await file.writeFile('\n')
        this.#size++
      }
      this.#end = tail.end
      for (const event of tail.findings) {
        log.warn({ directory, ...event }, 'the audit log was not left as it should be')
        await this.#write(file, [{ time: new Date().toISOString(), event }])
      }
      await this.#head.write(encodeHead(this.#end), 0)
      await syncDirectory(directory)
    } catch (error) {
      await file.close()
      throw error
    }
    return file
  }

  async #openFile(file: string): Promise<FileHandle> {
    const handle = await open(file, 'a', 0o600)
    await handle.chmod(0o600)
    return handle
  }

  #unavailable(why: string): AgentError {
    const { directory } = this.#options
    return new AgentError('AUDIT_UNAVAILABLE', `the audit log in ${directory} cannot be written: ${why}`)
  }

  // Once per outage: every call would say the same.
  #tellFailing(err: string): void {
    if (this.#failing) return
    this.#failing = true
    const { directory, log } = this.#options
    log.error({ directory, err }, 'the audit log cannot be written; its lines wait in memory')
  }
}

const rotated = (oldest: number): AuditEvent => ({ type: 'rotated', oldest })
