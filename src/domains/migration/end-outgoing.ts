import type { OpContext } from '../../core/context.ts'
import { AgentError, errorText, isAgentError } from '../../core/errors.ts'
import type { MigrationRequest } from '../../core/model.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { vmError } from '../libvirt-errors.ts'
import type { LeasedVm, LeaseKeeper } from '../vm-lease.ts'
import { withLease } from '../with-lease.ts'
import type { MigrationParts } from './build-offer.ts'
import { decideOutgoing } from './decide-outgoing.ts'
import { leaveOutgoing } from './leave-outgoing.ts'
import type { OutgoingJournal, OutgoingResult } from './outgoing-journal.ts'
import type { OutgoingOptions } from './outgoing-options.ts'
import { bringBackSnapshots } from './outgoing-snapshots.ts'
import { patiently, uncancelled } from './patiently.ts'
import { resumeSource, settleSource } from './settle-outgoing.ts'
import { splitOutgoing } from './split-outgoing.ts'
import { tlsAdvice } from './tls-advice.ts'

/** How long the target is asked to forget what it has nothing of; it gives up by itself after that. */
const FORGET_MS = 15_000

/** Brings a migration to its end after something broke, by what is true now. Without `begun` libvirt was not asked for anything. Throws `why` when the VM is here. */
export async function endOutgoing(
  request: MigrationRequest,
  journal: OutgoingJournal,
  { why, begun }: { readonly why: unknown; readonly begun: boolean },
  options: Pick<OutgoingOptions, 'parts' | 'operations' | 'inventory' | 'connect'>,
  ctx: OperationContext<OutgoingJournal>,
): Promise<OutgoingResult> {
  const { parts, connect } = options
  const { vmId } = request
  const target = connect(request.target)
  if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw ctx.signal.reason
  if (isAgentError(why, 'MIGRATION_SPLIT')) throw why
  ctx.log.warn({ vm: vmId, phase: journal.phase, err: errorText(why) }, 'a migration ends early')
  if (journal.phase === 'moved') return leaveOutgoing(request, journal, options, ctx)
  const settle = () => patiently(() => settleSource(vmId, parts, uncancelled(ctx)), parts.client, ctx)
  // Once the target may run it, its word comes first: it does not depend on this libvirt.
  const here = begun && journal.phase !== 'deciding' ? await settle() : 'still'
  // Nothing was switched, and without our cookie the target cannot start it.
  if (journal.phase === 'preparing' || (here === 'runs' && journal.phase === 'performing')) {
    await target
      .finish(ctx.id, vmId, undefined, AbortSignal.timeout(FORGET_MS))
      .catch((error: unknown) =>
        ctx.log.info({ vm: vmId, err: errorText(error) }, 'the target host gives up by itself'),
      )
    await bringBackSnapshots(vmId, journal, parts.client, ctx)
    throw ended(why, vmId)
  }
  const conclude = async () => {
    const outcome = await decideOutgoing(target, request, { cookie: undefined }, options, ctx)
    if (outcome.state === 'arrived' && outcome.split === true) return splitOutgoing(request, journal, options, ctx)
    if (outcome.state === 'arrived') {
      await ctx.save({ ...journal, phase: 'moved' })
      return leaveOutgoing(request, { ...journal, phase: 'moved' }, options, ctx)
    }
    if (journal.phase === 'deciding') await settle()
    try {
      if (!journal.paused) await patiently(() => resumeSource(vmId, parts, uncancelled(ctx)), parts.client, ctx)
    } finally {
      await bringBackSnapshots(vmId, journal, parts.client, ctx)
    }
    throw ended(why, vmId)
  }
  return journal.off ? heldIfFree({ vmId, disks: journal.disks }, parts.deps, conclude, ctx) : conclude()
}

// The agent that stopped may have given its lease back. Who has it by now may be the target, so that this is no reason not to ask it.
function heldIfFree<T>(vm: LeasedVm, deps: MigrationParts['deps'], work: () => Promise<T>, ctx: OpContext): Promise<T> {
  const keep = (leases: LeaseKeeper) =>
    leases.keepFree(vm, uncancelled(ctx)).catch((error: unknown) => {
      ctx.log.warn(
        { vm: vm.vmId, err: errorText(error) },
        'a VM whose place is not known yet cannot be kept from other hosts',
      )
    })
  return withLease(vm, deps, work, ctx, keep)
}

function ended(why: unknown, vmId: string): AgentError {
  const { reason, message } = vmError(why, vmId)
  if (why instanceof AgentError && reason !== 'LIBVIRT_REFUSED') return why
  return new AgentError('MIGRATION_FAILED', `${message}; the VM is where it was${tlsAdvice(why, 'source')}`, {
    cause: why,
  })
}
