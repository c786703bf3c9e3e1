import type { OpContext } from '../../core/context.ts'
import { errorText, isAgentError } from '../../core/errors.ts'
import { delay } from '../../platform/clock.ts'
import { mayPass } from '../cleanup.ts'
import { isLost } from './mirror.ts'
import { STEP_TIMEOUT_MS, type MoveRun } from './move-run.ts'

const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

/**
 * Does what has to be done, again and again, each time with a deadline of its own: neither a cancellation nor libvirt or storage being away for a while keeps it from being done; a stop of the agent leaves it to the next start. `what` goes into the log when it
 * has to wait. Errors: those of `work` that do not pass by themselves.
 */
export async function persistStep<T>(
  what: string,
  { request, options, ctx: { signal, log } }: Pick<MoveRun, 'request' | 'options' | 'ctx'>,
  work: (ctx: OpContext) => Promise<T>,
): Promise<T> {
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    try {
      await options.parts.client.ready(AbortSignal.timeout(STEP_TIMEOUT_MS))
      return await work({ signal: AbortSignal.timeout(STEP_TIMEOUT_MS), log })
    } catch (error) {
      // A cancelled one that is left to the next start sees no more of the stop than that libvirt is gone.
      if (isAgentError(signal.reason, 'SHUTTING_DOWN') || !(mayPass(error) || isLost(error))) throw error
      log.warn({ vm: request.vmId, err: errorText(error) }, what)
      await delay(pauseMs, signal.aborted ? AbortSignal.timeout(2 * LONGEST_PAUSE_MS) : signal).catch(() => undefined)
    }
  }
}
