import { errorText } from '../../core/errors.ts'
import type { OperationManager } from '../../operations/manager.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { findDomain } from '../libvirt-domain.ts'
import type { MigrationParts } from './build-offer.ts'
import type { OutgoingJournal } from './outgoing-journal.ts'
import { patiently, uncancelled } from './patiently.ts'
import { defineSnapshots } from './snapshot-metadata.ts'

/** Makes libvirt know the snapshots of a VM again that stays here, before anybody changes it: files that no snapshot keeps are merged. */
export async function bringBackSnapshots(
  vmId: string,
  { snapshots }: Pick<OutgoingJournal, 'snapshots'>,
  client: MigrationParts['client'],
  ctx: OperationContext<OutgoingJournal>,
): Promise<void> {
  if (snapshots === undefined) return
  await patiently(
    async () => {
      // By libvirt's own means it may have been taken off this host.
      if ((await findDomain(client, vmId, uncancelled(ctx).signal)) === undefined) return
      await defineSnapshots(vmId, snapshots, client, uncancelled(ctx))
    },
    client,
    ctx,
  )
}

/** Takes the snapshots out of the journal of a migration that is over: they have passwords of displays, which are not to stay in the history of operations. */
export async function dropSnapshots(
  operations: Pick<OperationManager, 'get'>,
  ctx: OperationContext<OutgoingJournal>,
): Promise<void> {
  const journal = operations.get(ctx.id)?.journal as OutgoingJournal | undefined
  if (journal?.snapshots === undefined) return
  const { snapshots: _, ...rest } = journal
  await ctx.save(rest).catch((error: unknown) => {
    ctx.log.warn({ err: errorText(error) }, 'the journal of a migration keeps snapshots that it needs no more')
  })
}
