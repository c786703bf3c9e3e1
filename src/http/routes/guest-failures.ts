import { isAgentError } from '../../core/errors.ts'
import type { Reason } from '../../core/reasons.ts'
import { neutralise, wireText } from '../../core/wire-text.ts'
import type { ErrorBody } from '../status.ts'
import { ok, type RouteAnswer } from '../route.ts'

// Trouble of one guest, which callers want to read rather than to handle.
const OF_THE_GUEST: readonly Reason[] = [
  'GUEST_AGENT_UNAVAILABLE',
  'GUEST_AGENT_REFUSED',
  'DEADLINE_EXCEEDED',
  'LIBVIRT_TIMEOUT',
  'LIBVIRT_REFUSED',
  'VM_STATE_CONFLICT',
]
const OF_LIBVIRT: readonly Reason[] = ['LIBVIRT_UNAVAILABLE', 'LIBVIRT_OUTCOME_UNKNOWN']

/**
 * Answers 200 with what `work` gives, or with `failed(text)` for trouble of the guest and the reasons in `also`. Without libvirt it is 500 `list_vms_failed`, as control planes know it; every other
 * error is left to the server.
 */
export async function guestAnswer<T>(
  work: () => Promise<T>,
  failed: (text: string) => T,
  also: readonly Reason[] = [],
): Promise<RouteAnswer> {
  try {
    return ok(await work())
  } catch (error) {
    if (isAgentError(error, ...OF_THE_GUEST, ...also)) return ok(failed(neutralise(error.message)))
    if (!isAgentError(error, ...OF_LIBVIRT)) throw error
    const body: ErrorBody = { error: 'list_vms_failed', message: wireText(error) }
    return { status: 500, body }
  }
}
