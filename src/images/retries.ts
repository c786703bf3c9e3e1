import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, toAgentError, type ErrorDetails } from '../core/errors.ts'
import type { Reason } from '../core/reasons.ts'
import { delay, monotonicMs } from '../platform/clock.ts'

export interface RetryRules {
  /** How long attempts without a new byte go on. */
  readonly patienceMs: number
  /** Places the content can come from, in order of preference. */
  readonly sources: number
  readonly now?: () => number
  /** 0 to 1. */
  readonly random?: () => number
}

/** What to do after a failed attempt. */
export interface NextAttempt {
  readonly source: number
  readonly delayMs: number
}

const PAUSES = { firstMs: 500, mostMs: 15_000 }
/** Failures in a row, after bytes came, before another source is asked: it has to begin anew more often than not. */
const LOYALTY = 3
const TRANSIENT_STATUS: readonly string[] = ['408', '425', '429', '500', '502', '503', '504']
const PASSES: Readonly<Partial<Record<Reason, (details: ErrorDetails) => boolean>>> = {
  DOWNLOAD_TRUNCATED: () => true,
  DOWNLOAD_RANGE: () => true,
  DOWNLOAD_STALLED: ({ waitingFor }) => waitingFor !== 'disk',
  DOWNLOAD_CONNECT: ({ certificate }) => certificate === undefined,
  DOWNLOAD_HTTP_STATUS: ({ status = '' }) => TRANSIENT_STATUS.includes(status),
}

/**
 * The one owner of what follows a failed attempt of a transfer: whether, when and where it is tried again. Permanent faults end a source at once, transient ones only when no new byte came for the whole patience. Pure
 * but for clock and chance.
 */
export class Retries {
  readonly #rules: RetryRules
  readonly #now: () => number
  readonly #random: () => number
  readonly #left: number[]
  #current = 0
  #furthest = 0
  #progressAt: number
  #failures = 0
  #first: AgentError | undefined

  constructor(rules: RetryRules, source = 0) {
    this.#rules = rules
    this.#now = rules.now ?? monotonicMs
    this.#random = rules.random ?? Math.random
    this.#left = Array.from({ length: rules.sources }, (_, index) => index)
    this.#current = source
    this.#progressAt = this.#now()
  }

  /** Notes how far the content has come; only a new furthest byte counts. */
  reached(bytes: number): void {
    if (bytes <= this.#furthest) return
    this.#furthest = bytes
    this.#failures = 0
    this.#progressAt = this.#now()
  }

  /** Throws when it is over: the error that ended the preferred source, or the last one when patience is. */
  after(failure: unknown): NextAttempt {
    const error = toAgentError(failure)
    if (!isSourceFault(error)) throw error
    return isTransient(error) ? this.#again(error) : this.#dropSource(error)
  }

  #dropSource(error: AgentError): NextAttempt {
    this.#first ??= error
    const at = this.#left.indexOf(this.#current)
    this.#left.splice(at, 1)
    const next = this.#left[at % Math.max(1, this.#left.length)]
    if (next === undefined) throw this.#first
    this.#current = next
    return { source: next, delayMs: 0 }
  }

  #again(error: AgentError): NextAttempt {
    this.#failures++
    const at = this.#left.indexOf(this.#current)
    const moves = this.#left.length > 1 && (this.#furthest === 0 || this.#failures % LOYALTY === 0)
    const next = moves ? (at + 1) % this.#left.length : at
    this.#current = this.#left[next] ?? this.#current
    // The next mirror did nothing to be spared for; after a round all did.
    const delayMs = moves && next !== 0 ? 0 : Math.max(this.#backOff(), Number(error.details['retryAfterMs'] ?? 0))
    const waited = this.#now() - this.#progressAt
    if (waited + delayMs <= this.#rules.patienceMs) return { source: this.#current, delayMs }
    const wait = error.details['retryAfterMs'] === undefined ? '' : ` and asks to wait ${Math.ceil(delayMs / 1000)} s`
    throw new AgentError(
      error.reason,
      `${error.message}${wait}; given up after ${this.#failures} attempts in ${Math.round(waited / 1000)} s without a new byte`,
      { details: error.details, cause: error },
    )
  }

  #backOff(): number {
    const rounds = Math.floor((this.#failures - 1) / Math.max(1, this.#furthest === 0 ? this.#left.length : 1))
    return backOffMs(rounds + 1, PAUSES, this.#random)
  }
}

/** How long to wait after so many failures in a row: twice as long after each, with jitter. */
export function backOffMs(
  failures: number,
  { firstMs, mostMs }: { readonly firstMs: number; readonly mostMs: number },
  random: () => number,
): number {
  const full = Math.min(mostMs, firstMs * 2 ** Math.min(failures - 1, 10))
  return Math.round(full * (0.5 + random() / 2))
}

/** False for faults of this host: the disk, the pool, the job itself. */
function isSourceFault({ reason }: AgentError): boolean {
  return reason.startsWith('DOWNLOAD_') || ['URL_REFUSED', 'IMAGE_NOT_AN_IMAGE', 'CHECKSUM_MISMATCH'].includes(reason)
}

/** True for faults that pass by themselves: broken connections, silence, servers that are busy or starting. */
export function isTransient(error: unknown): boolean {
  const { reason, details } = toAgentError(error)
  return details['final'] === undefined && (PASSES[reason]?.(details) ?? false)
}

/** Runs `work` until it succeeds, as `Retries` has it for one source. */
export async function retried<T>(work: () => Promise<T>, patienceMs: number, ctx: OpContext): Promise<T> {
  const retries = new Retries({ patienceMs, sources: 1 })
  for (;;) {
    try {
      return await work()
    } catch (error) {
      ctx.signal.throwIfAborted()
      const { delayMs } = retries.after(error)
      ctx.log.warn({ err: errorText(error), delayMs }, 'a request was interrupted and is tried again')
      await delay(delayMs, ctx.signal)
    }
  }
}
