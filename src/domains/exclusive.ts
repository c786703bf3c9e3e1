import type { Logger, OpContext } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { abortable, type KeyedLock } from '../core/keyed-lock.ts'
import { vmLock } from './power.ts'

/** What a change of a VM outside of an operation may take at most, its waiting for locks excluded. */
const CHANGE_TIMEOUT_MS = 10 * 60_000

/**
 * Changes a VM while nobody else does. A caller that hangs up (`signal`) stops waiting; a change that was begun goes on to its end with the lock, and what becomes of it is in the log.
 */
export async function changeVm<T>(
  { locks, log }: { readonly locks: KeyedLock; readonly log: Logger },
  vmId: string,
  signal: AbortSignal,
  work: (ctx: OpContext) => Promise<T>,
): Promise<T> {
  const release = await locks.acquire(vmLock(vmId), signal)
  const running = work({ signal: AbortSignal.timeout(CHANGE_TIMEOUT_MS), log }).finally(release)
  running.catch((error: unknown) => {
    if (signal.aborted)
      log.warn({ vm: vmId, err: errorText(error) }, 'a change of a VM failed after its caller had gone')
  })
  return abortable(running, signal)
}
