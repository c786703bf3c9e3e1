import type { OpContext } from '../../core/context.ts'
import { isAgentError } from '../../core/errors.ts'
import { VIR_DOMAIN_JOB_OPERATION, VIR_DOMAIN_JOB_STATS } from '../../libvirt/constants.ts'
import { numberParam, readTypedParams } from '../../libvirt/typed-params.ts'
import type { RemoteNonnullDomain } from '../../libvirt/wire/remote-types.gen.ts'
import { delay, monotonicMs } from '../../platform/clock.ts'
import { mayPass } from '../cleanup.ts'
import { domainRef, findDomain, isOff, readPowerState } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { hasSavedState } from '../saved-state.ts'
import { deleteOwnVolumes, removeDomain, removeVmDirectory, undefineDomain } from '../vm-remains.ts'
import type { MigrationParts } from './build-offer.ts'
import type { OutgoingJournal } from './outgoing-journal.ts'
import { readJob } from './read-job.ts'

const TIMEOUT_MS = 30_000
const RESUME_TIMEOUT_MS = 60_000
const POLL_MS = 250
/** A job that has not ended so long after it was told to may never end: what became of the guest is asked elsewhere. */
const ABORT_MS = 120_000

/** What an admin did at the source, by libvirt's own means, with a VM that has moved while it was off. */
export type SourceUse = 'runs' | 'saved'

/** Whether the guest runs at the source, after the migration job, if there is one, has ended: it is cancelled. `still`: it is paused, off, gone, or its job does not end. Errors: LIBVIRT_*. */
export async function settleSource(
  vmId: string,
  { client }: { readonly client: Pick<MigrationParts['client'], 'call'> },
  ctx: OpContext,
): Promise<'runs' | 'still'> {
  const options = { timeoutMs: TIMEOUT_MS, signal: ctx.signal, mayOverlap: true }
  const since = monotonicMs()
  for (;;) {
    try {
      // The job first: a guest that is seen to run while it has one may be stopped by its end.
      const job = await readJob(vmId, client, ctx.signal)
      if (job !== VIR_DOMAIN_JOB_OPERATION.MIGRATION_OUT) {
        if ((await findDomain(client, vmId, ctx.signal)) === undefined) return 'still'
        return (await readPowerState(client, vmId, ctx.signal)) === 'RUNNING' ? 'runs' : 'still'
      }
    } catch (error) {
      throw vmError(error, vmId)
    }
    if (monotonicMs() - since > ABORT_MS) return 'still'
    // It may just have ended.
    await client.call('remote:DOMAIN_ABORT_JOB', { dom: domainRef(vmId) }, options).catch(() => undefined)
    await delay(POLL_MS, ctx.signal)
  }
}

/** Lets the guest go on at the source, where it was stopped for the switch. One that is off stays so. Errors: LIBVIRT_*. */
export async function resumeSource(vmId: string, { client }: MigrationParts, ctx: OpContext): Promise<void> {
  if ((await findDomain(client, vmId, ctx.signal)) === undefined) return
  if ((await readPowerState(client, vmId, ctx.signal)) !== 'PAUSED') return
  try {
    await client.call(
      'remote:DOMAIN_RESUME',
      { dom: domainRef(vmId) },
      { timeoutMs: RESUME_TIMEOUT_MS, signal: ctx.signal },
    )
  } catch (error) {
    throw vmError(error, vmId)
  }
}

/**
 * Removes a VM from the source that runs on the target: its definition, its own files, and the volumes that were copied. Disks that both hosts see are the target's now. May be repeated: `disks` are those that it
 * had, since libvirt cannot tell any more when it is gone. With `off` no guest is ended and no saved memory dropped: what is in
 * use here again by libvirt's own means stays as it is, and the answer says how. Errors: LIBVIRT_*, POOL_*.
 */
export async function leaveSource(
  vmId: string,
  { off, copied, disks }: Pick<OutgoingJournal, 'off' | 'copied' | 'disks'>,
  { client, deps }: MigrationParts,
  ctx: OpContext,
): Promise<{ downtimeMs?: number } | SourceUse> {
  const dom = await findDomain(client, vmId, ctx.signal)
  const downtimeMs = dom === undefined || off ? undefined : await readDowntime(vmId, client, ctx)
  if (dom !== undefined && off) {
    const use = await undefineUnused(dom, vmId, { client, deps }, ctx)
    if (use !== undefined) return use
  } else if (dom !== undefined) await removeDomain(deps, dom, vmId, ctx.signal)
  // The target takes it, or has; where it cannot tell that the guest is not here any more, it waits for this.
  await deps.leases?.handOver({ vmId, disks }, ctx)
  await deleteOwnVolumes(deps, copied, vmId, ctx)
  await removeVmDirectory(deps, vmId)
  return downtimeMs === undefined ? {} : { downtimeMs }
}

// Why a VM that was off is not undefined, or goes on after it was; undefined when it is gone.
async function undefineUnused(
  dom: RemoteNonnullDomain,
  vmId: string,
  { client, deps }: Pick<MigrationParts, 'client' | 'deps'>,
  ctx: OpContext,
): Promise<SourceUse | undefined> {
  const use = async (): Promise<SourceUse | undefined> => {
    if (!isOff(await readPowerState(client, vmId, ctx.signal))) return 'runs'
    return (await hasSavedState(client, vmId, ctx.signal)) ? 'saved' : undefined
  }
  try {
    const before = await use()
    if (before !== undefined) return before
    await undefineDomain(deps, dom, vmId, ctx.signal, { saved: 'keep' })
    // Started in that moment, it goes on without a definition.
    return (await findDomain(client, vmId, ctx.signal)) === undefined ? undefined : 'runs'
  } catch (error) {
    if (isAgentError(error, 'VM_NOT_FOUND')) return undefined
    // Saved in that moment, libvirt has refused to.
    if (!mayPass(error) && (await hasSavedState(client, vmId, ctx.signal))) return 'saved'
    throw error
  }
}

async function readDowntime(
  vmId: string,
  client: MigrationParts['client'],
  ctx: OpContext,
): Promise<number | undefined> {
  try {
    const { params } = await client.call(
      'remote:DOMAIN_GET_JOB_STATS',
      { dom: domainRef(vmId), flags: VIR_DOMAIN_JOB_STATS.COMPLETED },
      { timeoutMs: TIMEOUT_MS, signal: ctx.signal, mayOverlap: true },
    )
    return numberParam(readTypedParams(params), 'downtime')
  } catch (error) {
    ctx.log.debug({ vm: vmId, err: error instanceof Error ? error.message : String(error) }, 'the downtime is not told')
    return undefined
  }
}
