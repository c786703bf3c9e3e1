import type { OpContext } from '../../core/context.ts'
import { AgentError, errorText, isAgentError } from '../../core/errors.ts'
import { delay } from '../../platform/clock.ts'
import { mayPass } from '../cleanup.ts'
import type { MigrationParts } from './build-offer.ts'

/** Pauses grow from the first to the longest. */
export const FIRST_PAUSE_MS = 250
export const LONGEST_PAUSE_MS = 10_000
/** setTimeout takes no more. A migration has no deadline: it ends, or is cancelled. */
export const NO_DEADLINE_MS = 2 ** 31 - 1

/** Does `work` until it succeeds, or fails for a reason that does not pass. It is not given up when the migration is cancelled, only when the agent stops. Errors: SHUTTING_DOWN, those of `work`. */
export async function patiently<T>(
  work: () => Promise<T>,
  client: Pick<MigrationParts['client'], 'ready'>,
  ctx: OpContext,
): Promise<T> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw ctx.signal.reason
    try {
      await client.ready(AbortSignal.timeout(LONGEST_PAUSE_MS))
      return await work()
    } catch (error) {
      if (error instanceof AgentError && !mayPass(error)) throw error
      ctx.log.warn({ err: errorText(error) }, 'a migration has to wait')
      await delay(pauseMs, AbortSignal.timeout(pauseMs * 2))
    }
  }
}

/** Without the cancellation: what was begun has to come to its end. */
export function uncancelled(ctx: OpContext): OpContext {
  return { ...ctx, signal: AbortSignal.timeout(NO_DEADLINE_MS) }
}
