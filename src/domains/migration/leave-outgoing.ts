import type { MigrationRequest } from '../../core/model.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { delay } from '../../platform/clock.ts'
import type { OutgoingJournal, OutgoingResult } from './outgoing-journal.ts'
import type { OutgoingOptions } from './outgoing-options.ts'
import { dropSnapshots } from './outgoing-snapshots.ts'
import { FIRST_PAUSE_MS, LONGEST_PAUSE_MS, patiently, uncancelled } from './patiently.ts'
import { leaveSource, type SourceUse } from './settle-outgoing.ts'
import { splitFromHere } from './split.ts'

/** What a job says that nobody but an admin can end. */
const USED_HERE: Readonly<Record<SourceUse, string>> = {
  runs: 'the VM is at the target host, and was started here meanwhile: shut it down',
  saved: 'the VM is at the target host, and its memory was saved here meanwhile: start it and shut it down, or drop it',
}

/** Takes a VM off this host that has moved. It is never given up: a definition that stays behind could be started. */
export async function leaveOutgoing(
  { vmId }: MigrationRequest,
  journal: OutgoingJournal,
  { parts, operations, inventory }: Pick<OutgoingOptions, 'parts' | 'operations' | 'inventory'>,
  ctx: OperationContext<OutgoingJournal>,
): Promise<OutgoingResult> {
  ctx.progress({ phase: 'leaving', percent: 100 })
  const name = inventory.nameOf(vmId)
  const leave = () => patiently(() => leaveSource(vmId, journal, parts, uncancelled(ctx)), parts.client, ctx)
  let left = await leave()
  // What is in use is not cut off for a definition that is not wanted here: its locks and lease keep the other one from starting.
  for (let pauseMs = FIRST_PAUSE_MS; typeof left === 'string'; left = await leave()) {
    const phase = USED_HERE[left]
    ctx.progress({ phase })
    ctx.log.error({ vm: vmId }, `${phase} (docs/vms.md, Migration)`)
    await delay(pauseMs, AbortSignal.timeout(pauseMs * 2))
    pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)
  }
  // Of a VM that is off libvirt tells nothing when it goes.
  if (journal.off) inventory.movedAway(vmId, name)
  await dropSnapshots(operations, ctx)
  if (journal.lost === true) throw splitFromHere(vmId, name, 'lost')
  return left
}
