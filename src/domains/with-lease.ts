import { errorText, isAgentError } from '../core/errors.ts'
import type { OpContext } from '../core/context.ts'
import type { DomainDeps } from './deps.ts'
import { findDomain, hasQemu, isOff, readPowerState } from './libvirt-domain.ts'
import { hasSavedState } from './saved-state.ts'
import type { LeasedVm, LeaseKeeper } from './vm-lease.ts'

const SETTLE_TIMEOUT_MS = 60_000

/**
 * Does what writes to the disks of a VM that may be off, or starts it, with its leases, so that no other host runs it meanwhile. Afterwards they stay with a VM that runs or has its memory saved; else they are given back, unless the agent
 * stops: work that it interrupts goes on after its restart. With `claim` they are taken in another way than by LeaseKeeper.claim.
 * Errors: those of the claim, before anything is done, and of `work`.
 */
export async function withLease<T>(
  vm: LeasedVm,
  { leases, libvirt }: Pick<DomainDeps, 'leases' | 'libvirt'>,
  work: () => Promise<T>,
  ctx: OpContext,
  claim?: (leases: LeaseKeeper) => Promise<unknown>,
): Promise<T> {
  if (leases === undefined) return work()
  const { vmId } = vm
  const settle = async () => {
    const after = { ...ctx, signal: AbortSignal.timeout(SETTLE_TIMEOUT_MS) }
    // One that has left this host has given them back.
    if ((await findDomain(libvirt, vmId, after.signal)) === undefined) return
    // With a state that cannot be told it may run.
    if (!isOff(await readPowerState(libvirt, vmId, after.signal))) return
    if (await hasSavedState(libvirt, vmId, after.signal)) await leases.keepSaved(vm, after)
    else await leases.forget(vm, after)
  }
  if (claim !== undefined) await claim(leases)
  else {
    const runsHere = hasQemu(await readPowerState(libvirt, vmId, ctx.signal))
    await leases.claim(vm, { takeOver: false, runsHere, mayEnd: true }, ctx)
  }
  try {
    return await work()
  } finally {
    if (!isAgentError(ctx.signal.reason, 'SHUTTING_DOWN'))
      await settle().catch((error: unknown) => {
        ctx.log.warn({ vm: vmId, err: errorText(error) }, 'a lease could not be given back; it follows the VM')
      })
  }
}
