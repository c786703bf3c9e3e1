import type { OpContext } from '../../core/context.ts'
import { errorText, isAgentError } from '../../core/errors.ts'
import type { MigrationRequest } from '../../core/model.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { delay } from '../../platform/clock.ts'
import { findDomain } from '../libvirt-domain.ts'
import type { MigrationParts } from './build-offer.ts'
import type { MigrationOutcome, MigrationTarget } from './messages.ts'
import type { OutgoingJournal } from './outgoing-journal.ts'
import type { OutgoingOptions } from './outgoing-options.ts'
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS } from './patiently.ts'
import { settleSource } from './settle-outgoing.ts'
import { isSplitAtSource, splitFromHere, unlessSplit } from './split.ts'

const CALL_TIMEOUT_MS = 180_000
const UNDECIDED = 'the target host knows nothing of the VM: an admin has to say whether it ran there'

/** What the target is asked with. */
interface Question {
  /** As MigrationTarget.finish takes it. */
  readonly cookie: string | undefined
  /** What the guest printed meanwhile (console-tail.ts). */
  readonly tail?: string | undefined
  /** Lets libvirt of this host end its part of the migration. */
  readonly letGo?: () => void
}

/** Asks the target to run the guest until it says how that ended: before it has, nobody may say where the VM is. */
export async function decideOutgoing(
  target: MigrationTarget,
  request: MigrationRequest,
  { cookie, tail, letGo }: Question,
  { parts, inventory }: Pick<OutgoingOptions, 'parts' | 'inventory'>,
  ctx: OperationContext<OutgoingJournal>,
): Promise<Exclude<MigrationOutcome, { state: 'unknown' }>> {
  const { vmId } = request
  ctx.progress({ phase: 'switching' })
  for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
    // The agent may stop; who cancels has to wait for the answer all the same.
    if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw ctx.signal.reason
    try {
      const asked = target.finish(ctx.id, vmId, cookie, AbortSignal.timeout(CALL_TIMEOUT_MS), tail)
      const outcome: MigrationOutcome = await (request.options.postCopyAfterMs === undefined
        ? asked
        : unlessSplitHere(vmId, asked, { parts, inventory }, ctx))
      if (outcome.state !== 'unknown') return outcome
      // While libvirt has the migration open nobody can do anything with the VM.
      letGo?.()
      if (await isDecidedHere(vmId, parts, ctx)) return { state: 'cancelled', why: 'an admin has decided that' }
      ctx.progress({ phase: UNDECIDED })
      ctx.log.error({ vm: vmId }, `${UNDECIDED} (docs/vms.md, Migration)`)
      await delay(pauseMs, AbortSignal.timeout(pauseMs * 2))
    } catch (error) {
      if (isAgentError(error, 'MIGRATION_SPLIT')) throw error
      ctx.progress({ phase: 'waiting for the target host to say where the VM is' })
      ctx.log.warn({ vm: vmId, err: errorText(error) }, 'the target host has not said yet where the VM is')
      await delay(pauseMs, AbortSignal.timeout(pauseMs * 2))
    }
  }
}

function unlessSplitHere<T>(
  vmId: string,
  asked: Promise<T>,
  { parts, inventory }: Pick<OutgoingOptions, 'parts' | 'inventory'>,
  ctx: OpContext,
): Promise<T> {
  return unlessSplit(
    asked,
    (signal) => isSplitAtSource(vmId, parts.client, signal),
    () => splitFromHere(vmId, inventory.nameOf(vmId), 'kept'),
    ctx,
  )
}

// Who resumes or starts it here by libvirt's own means, or undefines it, knows what became of it: the agent does none of that before it has an answer.
async function isDecidedHere(
  vmId: string,
  { client }: Pick<MigrationParts, 'client'>,
  ctx: OpContext,
): Promise<boolean> {
  const signal = AbortSignal.timeout(CALL_TIMEOUT_MS)
  if ((await findDomain(client, vmId, signal)) === undefined) return true
  return (await settleSource(vmId, { client }, { ...ctx, signal })) === 'runs'
}
