import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'

const MIN_STALL_MS = 30 * 60_000
/** Slowest copy that is still taken to make progress. */
const MIN_BYTES_PER_MS = 10_000
/** qemu-img reports each percent and nothing in between. */
const REPORTS = 100

/** How long a copy of that many bytes may be silent: half an hour, or a hundredth of it at 10 MB/s. */
export function defaultStallTimeoutMs(bytes: number): number {
  return Math.max(MIN_STALL_MS, bytes / REPORTS / MIN_BYTES_PER_MS)
}

/** What may be silent, and for how long. */
export interface Patience {
  readonly timeoutMs: number
  /** For the error: `the copy of a into b`. */
  readonly what: string
}

/** Runs `work`, which calls `alive` at every sign of progress, and aborts it with DEADLINE_EXCEEDED after too long without one. COMMAND_STUCK, with the same text, when what it ran cannot even be killed. */
export async function withStallTimeout<T>(
  { timeoutMs, what }: Patience,
  ctx: OpContext,
  work: (ctx: OpContext, alive: () => void) => Promise<T>,
): Promise<T> {
  const stalled = new AbortController()
  const text = `${what} made no progress for ${duration(timeoutMs)}`
  const stall = () => stalled.abort(new AgentError('DEADLINE_EXCEEDED', `${text}; look at the storage of both`))
  const timer = setTimeout(stall, timeoutMs)
  try {
    return await work({ ...ctx, signal: AbortSignal.any([ctx.signal, stalled.signal]) }, () => void timer.refresh())
  } catch (error) {
    if (!stalled.signal.aborted || !isAgentError(error, 'COMMAND_STUCK')) throw error
    const { details } = error
    throw new AgentError('COMMAND_STUCK', `${text}, and ${error.message}`, { cause: error, details })
  } finally {
    clearTimeout(timer)
  }
}

function duration(ms: number): string {
  return ms < 120_000 ? `${Math.round(ms / 1000)} s` : `${Math.round(ms / 60_000)} minutes`
}
