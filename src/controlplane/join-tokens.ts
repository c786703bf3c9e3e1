import { createHash, randomInt, timingSafeEqual } from 'node:crypto'
import { AgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import type { JoinToken, JoinTokenLife } from '../core/model.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { StateCollection } from '../platform/state-store.ts'

/** What is kept of the one token: never the token itself. Times are milliseconds since the epoch. */
export interface TokenRecord {
  readonly sha256: string
  readonly createdAt: number
  readonly expiresAt: number
  readonly used: boolean
  /** Wrong tokens that were presented since it was made. */
  readonly failures: number
}

export interface JoinTokensOptions {
  readonly store: StateCollection<TokenRecord>
  /** Wall clock, for what is told and what outlives this process. */
  readonly now?: () => number
  /** Monotonic clock, for all waiting: a jump of the wall clock makes no token live longer or shorter. */
  readonly monotonic?: () => number
}

const LIFETIME_MS = 60 * 60_000
const ALPHABET = 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'
const GROUP_LENGTH = 4
/** Wrong tokens that may be presented without a pause: people mistype. */
const FREE_FAILURES = 5
const MAX_PAUSE_MS = 5 * 60_000
const KEY = 'token'

/**
 * The registration token of this host: at most one, good for an hour and for one registration. It can be presented any number of times before that, because
 * adding a host does so more than once. Kept across restarts as a hash.
 */
export class JoinTokens {
  readonly #store: StateCollection<TokenRecord>
  readonly #now: () => number
  readonly #monotonic: () => number
  readonly #locks = new KeyedLock()
  #record: TokenRecord | undefined
  #deadline = 0
  #pausedUntil = 0

  constructor(options: JoinTokensOptions) {
    this.#store = options.store
    this.#now = options.now ?? Date.now
    this.#monotonic = options.monotonic ?? monotonicMs
  }

  /** Reads what an earlier run left; a pause for wrong tokens begins anew. Before anything else. */
  async load(): Promise<void> {
    this.#record = await this.#store.get(KEY)
    if (this.#record === undefined) return
    const leftMs = Math.min(this.#record.expiresAt - this.#now(), LIFETIME_MS)
    this.#deadline = this.#monotonic() + leftMs
    this.#pausedUntil = this.#monotonic() + pauseMs(this.#record.failures)
  }

  /** Makes a token of `groups` times four letters, in place of the one before. It is on disk when this resolves, and cannot be read again. */
  async create(groups = 3): Promise<JoinToken> {
    return this.#exclusive(async () => {
      const token = `QUANTIX-${Array.from({ length: groups }, randomGroup).join('-')}`
      const createdAt = this.#now()
      const expiresAt = createdAt + LIFETIME_MS
      await this.#put({ sha256: digest(token).toString('hex'), createdAt, expiresAt, used: false, failures: 0 })
      this.#deadline = this.#monotonic() + LIFETIME_MS
      this.#pausedUntil = 0
      return { token, createdAt, expiresAt, expiresInSeconds: LIFETIME_MS / 1000 }
    })
  }

  /** Whether `token` opens this host now. TOKEN_MISSING (none was made), TOKEN_INVALID (another one, or used up), TOKEN_EXPIRED, TOKEN_ATTEMPTS (too many wrong ones: wait). */
  async check(token: string): Promise<JoinTokenLife> {
    return this.#exclusive(() => this.#check(token))
  }

  /** The host is registered: whatever token there is was for that. */
  async consume(): Promise<void> {
    await this.#exclusive(async () => {
      if (this.#record !== undefined && !this.#record.used) await this.#put({ ...this.#record, used: true })
    })
  }

  async #check(token: string): Promise<JoinTokenLife> {
    const record = this.#record
    if (record === undefined) {
      throw new AgentError(
        'TOKEN_MISSING',
        'no registration token was made on this host; run limiquantix-node token there',
      )
    }
    const waitMs = this.#pausedUntil - this.#monotonic()
    if (waitMs > 0) {
      const seconds = Math.ceil(waitMs / 1000)
      throw new AgentError('TOKEN_ATTEMPTS', `too many wrong registration tokens; wait ${seconds} s`, {
        details: { retryAfterMs: String(Math.ceil(waitMs)) },
      })
    }
    const right = timingSafeEqual(digest(normalise(token)), Buffer.from(record.sha256, 'hex'))
    if (!right) {
      const failures = record.failures + 1
      this.#pausedUntil = this.#monotonic() + pauseMs(failures)
      await this.#put({ ...record, failures })
      // The word for a token whose time is over must not be in here: control planes tell the two apart by it.
      throw new AgentError(
        'TOKEN_INVALID',
        'this is not the registration token of this host; compare it, or make one anew',
      )
    }
    if (record.used) {
      throw new AgentError(
        'TOKEN_INVALID',
        'the registration token was used for a registration; run limiquantix-node token for another one',
      )
    }
    const leftMs = this.#deadline - this.#monotonic()
    if (leftMs <= 0) {
      throw new AgentError(
        'TOKEN_EXPIRED',
        'the registration token has expired; run limiquantix-node token for another one',
      )
    }
    const { createdAt, expiresAt } = record
    return { createdAt, expiresAt, expiresInSeconds: Math.floor(leftMs / 1000) }
  }

  async #put(record: TokenRecord): Promise<void> {
    await this.#store.put(KEY, record)
    this.#record = record
  }

  // One at a time: parallel guesses do not get around the count.
  #exclusive<T>(work: () => Promise<T>): Promise<T> {
    return this.#locks.run(KEY, new AbortController().signal, work)
  }
}

function pauseMs(failures: number): number {
  return failures < FREE_FAILURES ? 0 : Math.min(MAX_PAUSE_MS, 1000 * 2 ** (failures - FREE_FAILURES))
}

function randomGroup(): string {
  return Array.from({ length: GROUP_LENGTH }, () => ALPHABET[randomInt(ALPHABET.length)]).join('')
}

function normalise(token: string): string {
  return token.trim().toUpperCase()
}

function digest(token: string): Buffer {
  return createHash('sha256').update(token).digest()
}
