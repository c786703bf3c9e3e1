import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import type { StateCollection } from '../platform/state-store.ts'

type Level = 'debug' | 'info' | 'warn' | 'error'

/** One line of an operation's own log. `at`: ms since the epoch. */
export interface LogLine {
  readonly at: number
  readonly level: Level
  readonly message: string
  /** Short values only. */
  readonly fields?: Readonly<Record<string, string | number | boolean>>
}

/** The newest lines of an operation, oldest first; `dropped` older ones are gone. */
export interface OperationLog {
  readonly dropped: number
  readonly lines: readonly LogLine[]
}

/** Lines that are kept per operation, and characters per text. */
const MAX_LINES = 200
const MAX_TEXT = 500
const MAX_FIELDS = 12
/** Lines come in bursts; one write is enough for each. */
const WRITE_DELAY_MS = 1_000

interface Kept {
  dropped: number
  lines: LogLine[]
  dirty: boolean
  closed?: true
}

/**
 * A bounded log per operation, beside the agent's log and made of the same lines. Written a second after it changed: what a crash takes is at most the last second,
 * which the agent's log still has.
 */
export class OperationLogs {
  readonly #store: StateCollection<OperationLog> | undefined
  readonly #log: Logger
  readonly #kept = new Map<string, Kept>()
  #timer: NodeJS.Timeout | undefined
  #writing: Promise<void> = Promise.resolve()

  /** Without a store the lines live as long as the process. */
  constructor(store: StateCollection<OperationLog> | undefined, log: Logger) {
    this.#store = store
    this.#log = log
  }

  /** `log`, with a copy of every line for operation `id`. */
  attach(id: string, log: Logger): Logger {
    const copy = (level: Level) => (fields: object, message?: string) => {
      this.#add(id, level, fields, message ?? '')
      log[level](fields, message)
    }
    return {
      trace: (fields, message) => log.trace(fields, message),
      debug: copy('debug'),
      info: copy('info'),
      warn: copy('warn'),
      error: copy('error'),
      child: (bindings) => this.attach(id, log.child(bindings)),
    }
  }

  /** Adds a line that is in no other log. */
  note(id: string, message: string, fields: object = {}): void {
    this.#add(id, 'info', fields, message)
  }

  /** What is known of an operation; empty when nothing is. */
  async read(id: string): Promise<OperationLog> {
    return this.#kept.get(id) ?? (await this.#store?.get(id)) ?? { dropped: 0, lines: [] }
  }

  /** Takes what an earlier process wrote, so that new lines follow it. */
  async resume(id: string): Promise<void> {
    const before = await this.#store?.get(id)
    if (before === undefined) return
    const now = this.#kept.get(id)
    const lines = [...before.lines, ...(now?.lines ?? [])]
    this.#kept.set(id, { dropped: before.dropped, lines, dirty: now?.dirty ?? false })
  }

  /** The operation has ended: its lines leave the memory when they are on disk. */
  close(id: string): void {
    const kept = this.#kept.get(id)
    if (kept !== undefined) kept.closed = true
  }

  /** Forgets an operation. */
  async delete(id: string): Promise<void> {
    this.#kept.delete(id)
    await this.#store?.delete(id)
  }

  /** Writes what is not on disk yet. Never rejects: the work itself is worth more than its log. */
  async flush(): Promise<void> {
    clearTimeout(this.#timer)
    this.#timer = undefined
    this.#writing = this.#writing.then(() => this.#write())
    await this.#writing
  }

  #add(id: string, level: Level, fields: object, message: string): void {
    const kept = this.#kept.get(id) ?? { dropped: 0, lines: [], dirty: false }
    const plain = plainFields(fields)
    kept.lines.push({ at: Date.now(), level, message: cut(message), ...(plain === undefined ? {} : { fields: plain }) })
    if (kept.lines.length > MAX_LINES) kept.dropped += kept.lines.splice(0, kept.lines.length - MAX_LINES).length
    kept.dirty = true
    this.#kept.set(id, kept)
    if (this.#store === undefined || this.#timer !== undefined) return
    this.#timer = setTimeout(() => void this.flush(), WRITE_DELAY_MS)
    this.#timer.unref()
  }

  async #write(): Promise<void> {
    if (this.#store === undefined) return
    for (const [id, kept] of this.#kept) {
      if (!kept.dirty) continue
      kept.dirty = false
      await this.#store.put(id, { dropped: kept.dropped, lines: kept.lines }).catch((error: unknown) => {
        kept.dirty = true
        this.#log.warn({ operation: id, err: errorText(error) }, 'the log of an operation could not be written')
      })
      if (kept.closed && !kept.dirty) this.#kept.delete(id)
    }
  }
}

function plainFields(fields: object): LogLine['fields'] {
  const plain = Object.entries(fields as Record<string, unknown>)
    .slice(0, MAX_FIELDS)
    .flatMap(([key, value]) => {
      if (typeof value === 'string') return [[key, cut(value)]]
      return typeof value === 'number' || typeof value === 'boolean' ? [[key, value]] : []
    })
  return plain.length === 0 ? undefined : (Object.fromEntries(plain) as LogLine['fields'])
}

function cut(text: string): string {
  return text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}...` : text
}
