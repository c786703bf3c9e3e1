import type { OpContext } from '../../core/context.ts'
import { errorText } from '../../core/errors.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { delay } from '../../platform/clock.ts'
import { mayPass } from '../cleanup.ts'
import { domainRef, findDomain } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { agentStops } from './agent-stops.ts'
import type { MigrationParts } from './build-offer.ts'
import type { Here, IncomingJournal, IncomingParams, IncomingResult } from './incoming-journal.ts'
import type { IncomingOptions } from './incoming-options.ts'
import { defineSnapshots } from './snapshot-metadata.ts'
import { splitToHere } from './split.ts'

const TIMEOUT_MS = 30_000
const PAUSE_MS = 1_000

/** What its source has let go while it was off is this host's, and is defined as often as it takes. LIBVIRT_REFUSED when libvirt does not take it. */
export async function defineIncoming(
  params: IncomingParams,
  journal: IncomingJournal,
  options: Pick<IncomingOptions, 'parts' | 'afterStep'>,
  ctx: OperationContext<IncomingJournal>,
): Promise<IncomingResult> {
  const { client } = options.parts
  const { vmId } = params
  const stopping = agentStops(ctx.signal)
  for (;;) {
    try {
      await client.ready(stopping)
      await defineArrived(vmId, journal.configXml, client, { ...ctx, signal: stopping })
      break
    } catch (error) {
      stopping.throwIfAborted()
      if (!mayPass(error)) throw error
      ctx.log.warn({ vm: vmId, err: errorText(error) }, 'a VM that has come cannot be defined yet')
      await delay(PAUSE_MS, stopping)
    }
  }
  options.afterStep?.('finished')
  return arrive(params, 'arrived', journal, options, ctx)
}

/** Writes down that the VM is this host's. Throws MIGRATION_SPLIT when it is here without all of its memory. */
export async function arrive(
  { vmId, name }: IncomingParams,
  phase: Here,
  journal: IncomingJournal | undefined,
  { parts: { client }, afterStep }: Pick<IncomingOptions, 'parts' | 'afterStep'>,
  ctx: OperationContext<IncomingJournal>,
): Promise<IncomingResult> {
  const { configXml = '', snapshots = [] } = journal ?? {}
  const stopping = agentStops(ctx.signal)
  await keep(vmId, { phase, configXml, snapshots }, stopping, ctx)
  afterStep?.('arrived')
  for (;;) {
    try {
      await client.ready(stopping)
      await requirePersistent(vmId, configXml, client, { ...ctx, signal: stopping })
      // libvirt keeps the migration of what is split open, and changes no snapshots meanwhile.
      if (phase === 'arrived') await defineSnapshots(vmId, snapshots, client, { ...ctx, signal: stopping })
      break
    } catch (error) {
      stopping.throwIfAborted()
      ctx.log.error(
        { vm: vmId, err: errorText(error) },
        'a VM that arrived has no definition for its next start, or not all of its snapshots',
      )
      // It runs all the same: what libvirt does not take now it takes at no other time.
      if (!mayPass(error)) break
      await delay(PAUSE_MS, stopping)
    }
  }
  // It has the password of the display, which is not to stay in the history of operations.
  await keep(vmId, { phase, configXml: '' }, stopping, ctx)
  if (phase === 'split') throw splitToHere(vmId, name)
  return { state: 'arrived' }
}

/** Writes that a VM is here until it is on disk, for instance when there is room again: before, nobody may be told how it ended, and an end without it would be told as a failure, to a source that then keeps the VM too. */
async function keep(
  vmId: string,
  journal: IncomingJournal,
  stopping: AbortSignal,
  ctx: OperationContext<IncomingJournal>,
): Promise<void> {
  for (;;) {
    try {
      await ctx.save(journal)
      return
    } catch (error) {
      stopping.throwIfAborted()
      ctx.log.error({ vm: vmId, err: errorText(error) }, 'that a VM has arrived cannot be written down yet')
      await delay(PAUSE_MS, stopping)
    }
  }
}

/** Defines a VM that has come here while it was off. The same again changes nothing. Errors: LIBVIRT_*. */
async function defineArrived(
  vmId: string,
  configXml: string,
  client: MigrationParts['client'],
  ctx: OpContext,
): Promise<void> {
  if ((await findDomain(client, vmId, ctx.signal)) !== undefined) return
  const options = { timeoutMs: TIMEOUT_MS, signal: ctx.signal }
  try {
    await client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml: configXml, flags: 0 }, options)
  } catch (error) {
    throw vmError(error, vmId)
  }
}

/** Defines a VM that runs here and is not defined: libvirt was killed before it had written that. Errors: LIBVIRT_*. */
async function requirePersistent(
  vmId: string,
  configXml: string,
  client: MigrationParts['client'],
  ctx: OpContext,
): Promise<void> {
  const options = { timeoutMs: TIMEOUT_MS, signal: ctx.signal }
  try {
    const { persistent } = await client.call('remote:DOMAIN_IS_PERSISTENT', { dom: domainRef(vmId) }, options)
    if (persistent !== 0) return
    await client.call('remote:DOMAIN_DEFINE_XML_FLAGS', { xml: configXml, flags: 0 }, options)
  } catch (error) {
    throw vmError(error, vmId)
  }
}
