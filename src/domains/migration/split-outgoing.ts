import type { OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import type { MigrationRequest } from '../../core/model.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { parseDomain } from '../domain-info.ts'
import { domainRef, readDomainXml } from '../libvirt-domain.ts'
import type { MigrationParts } from './build-offer.ts'
import { leaveOutgoing } from './leave-outgoing.ts'
import type { OutgoingJournal, OutgoingResult } from './outgoing-journal.ts'
import type { OutgoingOptions } from './outgoing-options.ts'
import { patiently, uncancelled } from './patiently.ts'
import { restAtSource, splitFromHere } from './split.ts'

/** Brings a migration to its end whose guest is at the target without all of its memory. What of it is here stays, paused as it is; without, the VM is taken off this host. Throws MIGRATION_SPLIT. */
export async function splitOutgoing(
  request: MigrationRequest,
  journal: OutgoingJournal,
  options: Pick<OutgoingOptions, 'parts' | 'operations' | 'inventory'>,
  ctx: OperationContext<OutgoingJournal>,
): Promise<OutgoingResult> {
  const { vmId } = request
  const { parts, inventory } = options
  const rest = await patiently(() => restAtSource(vmId, parts.client, uncancelled(ctx)), parts.client, ctx)
  if (rest === 'kept') throw splitFromHere(vmId, inventory.nameOf(vmId), 'kept')
  const moved: OutgoingJournal = { ...journal, phase: 'moved', lost: true }
  await ctx.save(moved)
  return leaveOutgoing(request, moved, options, ctx)
}

/** Notes at the source that a VM is split. On disk before anybody hears of it: with the QEMU that is left here, or with a boot of this host, libvirt forgets why the VM stands still. */
export async function markSplit(
  { vmId, target }: MigrationRequest,
  { parts, operations, inventory }: Pick<OutgoingOptions, 'parts' | 'operations' | 'inventory'>,
  ctx: OperationContext<OutgoingJournal>,
): Promise<void> {
  const journal = operations.get(ctx.id)?.journal as OutgoingJournal | undefined
  if (journal?.lost === true) return
  const mark = { name: inventory.nameOf(vmId), target, since: new Date().toISOString() }
  await patiently(async () => parts.deps.splits?.mark(vmId, mark), parts.client, ctx)
}

/** Leaves the leases of a VM that is split: it is the target that writes to its disks now. Those that this agent takes again after a restart are told apart there (vm-leases.ts). */
export async function leaveLeases(vmId: string, { deps, client }: MigrationParts, ctx: OpContext): Promise<void> {
  try {
    const { signal } = uncancelled(ctx)
    const xml = await readDomainXml(client, domainRef(vmId), vmId, signal)
    if (xml !== undefined) await deps.leases?.leave(parseDomain(xml), { ...ctx, signal })
  } catch (error) {
    ctx.log.warn({ vm: vmId, err: errorText(error) }, 'the lease of a VM whose migration broke off remains here')
  }
}
