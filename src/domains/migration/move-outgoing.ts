import { AgentError, errorText } from '../../core/errors.ts'
import type { MigrationRequest } from '../../core/model.ts'
import { VIR_MIGRATE, VIR_MIGRATE_PARAM } from '../../libvirt/constants.ts'
import type { DedicatedConnection } from '../../libvirt/dedicated-connection.ts'
import { typedParam } from '../../libvirt/typed-params.ts'
import type { RemoteTypedParam } from '../../libvirt/wire/remote-types.gen.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { parseDomain } from '../domain-info.ts'
import { domainRef, isOff, readPowerState } from '../libvirt-domain.ts'
import { hasSavedState } from '../saved-state.ts'
import { withLease } from '../with-lease.ts'
import { askTarget } from './ask-target.ts'
import { buildOffer, readFiles, refused, type MigrationParts } from './build-offer.ts'
import { readConsoleTail } from './console-tail.ts'
import { decideOutgoing } from './decide-outgoing.ts'
import { endOutgoing } from './end-outgoing.ts'
import { leaveOutgoing } from './leave-outgoing.ts'
import type { MigrationTarget, PreparedMigration } from './messages.ts'
import { confirm, flagsOf, limitsOf } from './migrate-calls.ts'
import { followJob } from './migration-job.ts'
import type { OutgoingJournal, OutgoingResult } from './outgoing-journal.ts'
import type { OutgoingOptions } from './outgoing-options.ts'
import { NO_DEADLINE_MS } from './patiently.ts'
import { forgetSnapshots } from './snapshot-metadata.ts'
import { splitOutgoing } from './split-outgoing.ts'

const CALL_TIMEOUT_MS = 180_000
const BEAT_MS = 5_000

/** What the target has prepared, and how the guest is sent there. */
interface Transfer extends PreparedMigration {
  readonly params: readonly RemoteTypedParam[]
  readonly flags: number
}

/** Moves a VM, from the look at both hosts until it is taken off this one. What breaks on the way is brought to an end. Errors: those of `buildOffer` and `endOutgoing`, MIGRATION_PEER_UNAVAILABLE, MIGRATION_FAILED, MIGRATION_SPLIT. */
export async function moveOutgoing(
  request: MigrationRequest,
  options: Pick<OutgoingOptions, 'parts' | 'operations' | 'inventory' | 'connect' | 'tls' | 'afterStep'>,
  ctx: OperationContext<OutgoingJournal>,
): Promise<OutgoingResult> {
  const { parts, connect, tls, afterStep } = options
  const { vmId } = request
  const target = connect(request.target)
  ctx.progress({ phase: 'preparing' })
  const offer = await buildOffer(ctx.id, request, parts, ctx)
  const { problems, copy } = await askTarget(target, request, offer, ctx.signal)
  if (problems.length > 0) throw refused(vmId, problems)
  const copied = offer.disks
    .filter((disk) => copy.includes(disk.target))
    .map(({ poolId, volume }) => ({ poolId, name: volume }))
  const disks = parseDomain(offer.liveXml).disks.map(({ id, place, format, readonly, monitors }) => {
    return { id, place, format, readonly, ...(monitors === undefined ? {} : { monitors }) }
  })
  let journal: OutgoingJournal = {
    phase: 'preparing',
    paused: offer.paused,
    off: offer.off,
    copied,
    disks,
    ...(offer.snapshots.length > 0 && !offer.off ? { snapshots: offer.snapshots } : {}),
  }
  const enter = async (phase: OutgoingJournal['phase']) => {
    const next = { ...journal, phase }
    await ctx.save(next)
    journal = next
    afterStep?.(phase)
  }
  await enter('preparing')
  let connection: DedicatedConnection | undefined
  let begun = false
  const heart = beatTo(target, ctx.id)
  try {
    const { files, console: mark } = await readFiles(offer.directory)
    const opened = await target.open(offer, files, ctx.signal)
    if (offer.off) {
      const hand = async () => {
        // This agent does not start it under its lock; who does by libvirt's own means has other plans.
        const isFree = isOff(await readPowerState(parts.client, vmId, ctx.signal))
        if (!isFree || (await hasSavedState(parts.client, vmId, ctx.signal)))
          throw new AgentError('VM_STATE_CONFLICT', `VM ${vmId} was started as it was about to move; migrate it again`)
        await enter('deciding')
        const outcome = await decideOutgoing(target, request, { cookie: '' }, options, ctx)
        if (outcome.state === 'cancelled')
          throw new AgentError('MIGRATION_FAILED', `VM ${vmId} was not taken by the target host: ${outcome.why}`)
        await enter('moved')
        const left = await leaveOutgoing(request, journal, options, ctx)
        afterStep?.('left')
        return left
      }
      // What a third host has, by the word of its lease, is not to be given away.
      return await withLease({ vmId, disks }, parts.deps, hand, ctx)
    }
    const flags = flagsOf(request, { copies: opened.copy.length > 0, paused: offer.paused, tls })
    const dedicated = await parts.client.openDedicated(ctx.signal)
    connection = dedicated
    const dom = domainRef(vmId)
    const params = [
      typedParam.string(VIR_MIGRATE_PARAM.PERSIST_XML, opened.configXml),
      ...opened.copy.map((disk) => typedParam.string(VIR_MIGRATE_PARAM.MIGRATE_DISKS, disk)),
    ]
    await forgetSnapshots(vmId, journal.snapshots ?? [], parts.client, ctx)
    afterStep?.('forgotten')
    begun = true
    const { xml, cookie_out: cookie } = await dedicated.call(
      'remote:DOMAIN_MIGRATE_BEGIN3_PARAMS',
      {
        dom,
        params: [...params, typedParam.string(VIR_MIGRATE_PARAM.DEST_XML, opened.liveXml)],
        flags: flags | VIR_MIGRATE.CHANGE_PROTECTION,
      },
      { timeoutMs: CALL_TIMEOUT_MS, signal: ctx.signal },
    )
    afterStep?.('begun')
    const prepared = await target.prepare(
      ctx.id,
      { xml, cookie: Buffer.from(cookie).toString('base64'), flags },
      ctx.signal,
    )
    await enter('performing')
    const transfer = { ...prepared, params: [...params, ...limitsOf(request)], flags }
    const performed = await perform(dedicated, request, transfer, parts, ctx)
    afterStep?.('performed')
    await enter('deciding')
    const tail = mark === undefined ? undefined : await readConsoleTail(offer.directory, mark, ctx)
    const question = { cookie: performed, tail, letGo: () => dedicated.close() }
    const outcome = await decideOutgoing(target, request, question, options, ctx)
    if (outcome.state === 'cancelled') {
      await confirm(dedicated, vmId, flags, '', 1).catch((error: unknown) => {
        ctx.log.warn({ vm: vmId, err: errorText(error) }, 'libvirt did not take the guest back by itself')
      })
      throw new AgentError('MIGRATION_FAILED', `VM ${vmId} did not start on the target host: ${outcome.why}`)
    }
    if (outcome.split === true) {
      // Otherwise libvirt waits for what does not come.
      connection.close()
      return await splitOutgoing(request, journal, options, ctx)
    }
    await enter('moved')
    await confirm(dedicated, vmId, flags, outcome.cookie, 0).catch((error: unknown) => {
      ctx.log.warn({ vm: vmId, err: errorText(error) }, 'libvirt did not remove a VM that has moved; the agent does')
    })
    afterStep?.('confirmed')
    connection.close()
    return await leaveOutgoing(request, journal, options, ctx)
  } catch (error) {
    connection?.close()
    return await endOutgoing(request, journal, { why: error, begun }, options, ctx)
  } finally {
    heart.stop()
    connection?.close()
  }
}

async function perform(
  dedicated: DedicatedConnection,
  { vmId, options }: MigrationRequest,
  { uri, cookie, params, flags }: Transfer,
  { client }: Pick<MigrationParts, 'client'>,
  ctx: OperationContext<OutgoingJournal>,
): Promise<string> {
  const job = followJob(vmId, options, client, ctx)
  try {
    const { cookie_out } = await dedicated.call(
      'remote:DOMAIN_MIGRATE_PERFORM3_PARAMS',
      {
        dom: domainRef(vmId),
        dconnuri: null,
        params: [...params, typedParam.string(VIR_MIGRATE_PARAM.URI, uri)],
        cookie_in: Buffer.from(cookie, 'base64'),
        flags: flags | VIR_MIGRATE.CHANGE_PROTECTION,
      },
      { timeoutMs: NO_DEADLINE_MS },
    )
    return Buffer.from(cookie_out).toString('base64')
  } finally {
    await job.stop()
  }
}

function beatTo(target: MigrationTarget, id: string): { stop(): void } {
  const timer = setInterval(() => {
    // A target that does not hear us for long ends it; what becomes of the transfer is seen here.
    target.alive(id, AbortSignal.timeout(CALL_TIMEOUT_MS)).catch(() => undefined)
  }, BEAT_MS)
  return { stop: () => clearInterval(timer) }
}
