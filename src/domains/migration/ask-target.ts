import type { MigrationRequest } from '../../core/model.ts'
import type { MigrationOffer, MigrationTarget, OfferCheck } from './messages.ts'
import { postCopyProblems } from './split.ts'

/** What stands in the way of a VM at the target, by its own judgement and by what an older agent there does not know of. Changes nothing. Errors: those of MigrationTarget.check. */
export async function askTarget(
  target: MigrationTarget,
  { options }: MigrationRequest,
  offer: MigrationOffer,
  signal: AbortSignal,
): Promise<OfferCheck> {
  const check = await target.check(offer, signal)
  const old: string[] = []
  if (offer.off && !check.off)
    old.push('the agent of the target host is too old for VMs that are off: bring it up to date, or start the VM')
  if (check.snapshots !== offer.snapshots.length)
    old.push('the agent of the target host is too old for VMs with snapshots: bring it up to date, or delete them')
  const postCopy = options.postCopyAfterMs === undefined ? [] : postCopyProblems(offer, check.copy)
  return { ...check, problems: [...check.problems, ...old, ...postCopy] }
}
