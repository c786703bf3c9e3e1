import { AgentError } from '../../core/errors.ts'
import { abortable } from '../../core/keyed-lock.ts'
import { monotonicMs } from '../../platform/clock.ts'
import type { MigrationOffer, OfferedFile, OpenedMigration, PreparedMigration } from './messages.ts'

/** Without a sign of the source for so long, it is given up. */
export const LOST_MS = 60_000

/** What the source sends to have QEMU started. */
export interface PrepareCall {
  readonly xml: string
  readonly cookie: string
  readonly flags: number
}

/** One migration that is coming in, between the operation that carries it and the calls of the source, which may be repeated. */
export class IncomingSession {
  readonly offer: MigrationOffer
  readonly files: readonly OfferedFile[]
  readonly opened = Promise.withResolvers<OpenedMigration>()
  readonly prepareCall = Promise.withResolvers<PrepareCall>()
  readonly prepared = Promise.withResolvers<PreparedMigration>()
  /** The cookie of the transfer, and what the guest printed during it (console-tail.ts). */
  readonly finishCall = Promise.withResolvers<{ readonly cookie: string; readonly consoleTail: string | undefined }>()
  /** What libvirt said at the end, base64. */
  finishCookie = ''
  readonly #over = new AbortController()
  #heardAt = monotonicMs()
  #deciding = false

  constructor(offer: MigrationOffer, files: readonly OfferedFile[]) {
    this.offer = offer
    this.files = files
    // Whoever waits for them hears of it; nobody may.
    for (const { promise } of [this.opened, this.prepareCall, this.prepared, this.finishCall])
      promise.catch(() => undefined)
  }

  /** Fires when the migration is to end here. */
  get over(): AbortSignal {
    return this.#over.signal
  }

  heard(): void {
    this.#heardAt = monotonicMs()
  }

  silentMs(): number {
    return monotonicMs() - this.#heardAt
  }

  /** From here on it is decided here, whatever the source says or does not say. */
  decide(): void {
    this.#over.signal.throwIfAborted()
    this.#deciding = true
  }

  /** Ends the migration, unless it is being decided. */
  cancel(why: string): void {
    if (!this.#deciding) this.#over.abort(new AgentError('MIGRATION_FAILED', why))
  }

  /** Everybody who waits for something of it hears why nothing comes. */
  fail(error: unknown): void {
    for (const { reject } of [this.opened, this.prepared]) reject(error)
  }

  /** A request of the source, or the reason why none comes any more. */
  async next<T>(request: Promise<T>): Promise<T> {
    return abortable(request, this.over)
  }
}
