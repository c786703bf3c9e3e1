import { setInterval } from 'node:timers'
import type { Logger, OpContext } from '../../core/context.ts'
import { AgentError, errorText, isAgentError, toAgentError } from '../../core/errors.ts'
import { abortable } from '../../core/keyed-lock.ts'
import { VIR_MIGRATE, VIR_MIGRATE_PARAM } from '../../libvirt/constants.ts'
import type { DedicatedConnection } from '../../libvirt/dedicated-connection.ts'
import { isLibvirtError } from '../../libvirt/errors.ts'
import { typedParam } from '../../libvirt/typed-params.ts'
import { writeXml } from '../../libvirt/write-xml.ts'
import type { OperationManager } from '../../operations/manager.ts'
import {
  isFinal,
  type OperationContext,
  type OperationHandler,
  type OperationRecord,
} from '../../operations/operation.ts'
import { delay } from '../../platform/clock.ts'
import { isBeingCleanedUp, mayPass, startCleanup } from '../cleanup.ts'
import type { DomainInventory } from '../inventory.ts'
import { keptDefinition, removeKept } from '../kept-by-libvirt.ts'
import { findDomain } from '../libvirt-domain.ts'
import { readXml, toNode } from '../read-xml.ts'
import { vmError } from '../libvirt-errors.ts'
import { vmLock } from '../power.ts'
import { deleteOwnVolumes, removeDomain, removeVmDirectory, type VolumeRef } from '../vm-remains.ts'
import { refused, type MigrationParts } from './build-offer.ts'
import { judgeOffer } from './check-offer.ts'
import { appendConsoleTail } from './console-tail.ts'
import { strangeCookie, strangeFlags, strangeParts, strangeSnapshot } from './guest-xml.ts'
import { IncomingSession } from './incoming-session.ts'
import type {
  MigrationOffer,
  MigrationOutcome,
  MigrationTarget,
  OfferCheck,
  OfferedFile,
  OpenedMigration,
  PreparedMigration,
} from './messages.ts'
import { makeRoom } from './make-room.ts'
import { MigrationTickets } from './migration-tickets.ts'
import { defineArrived, requirePersistent, settleIncoming } from './settle-incoming.ts'
import { defineSnapshots, type SnapshotRecord } from './snapshot-metadata.ts'
import { isSplitAtTarget, postCopyProblems, splitToHere, unlessSplit } from './split.ts'
import { tlsAdvice } from './tls-advice.ts'

/** Kind of the operation in the journal; its id is that of the migration. */
export const INCOMING_KIND = 'vm.migrate-in'

interface IncomingParams {
  readonly vmId: string
  readonly name: string
  /** The guest stands still when it comes. */
  readonly paused: boolean
  /** No guest comes, only what it is made of. */
  readonly off: boolean
  /** Volumes that are made here for copies. */
  readonly volumes: readonly VolumeRef[]
}

/** `split`: without all of its memory, which does not come any more. */
type Here = 'arrived' | 'split'

/** `opening`: nothing can run here. `finishing`: libvirt was asked to let it run, or a VM that is off is defined here. `gone`: it did not come, and what is left of it is removed. The others: it is here. */
interface IncomingJournal {
  readonly phase: 'opening' | 'finishing' | 'gone' | Here
  /** For the definition, should libvirt or the agent be killed before it is written. */
  readonly configXml: string
  /** A keptDefinition of what libvirt may have made for it. */
  readonly kept?: string
  /** To be defined here, parents first; absent when there are none. */
  readonly snapshots?: readonly SnapshotRecord[]
}

interface IncomingResult {
  readonly state: 'arrived'
}

export interface IncomingOptions {
  readonly parts: MigrationParts
  readonly operations: OperationManager
  readonly inventory: Pick<DomainInventory, 'arriving'>
  /** Where QEMU listens: an address of this host that other hosts reach. */
  readonly address: (signal: AbortSignal) => Promise<string>
  /** Take VMs that nobody announced by PrepareMigration and ReceiveMigration. */
  readonly acceptUnannounced: boolean
  readonly log: Logger
  /** Without a sign of the source for so long, an incoming migration is given up; default 60 s. */
  readonly lostMs?: number
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}

const LOST_MS = 60_000
const PREPARE_TIMEOUT_MS = 180_000
const FINISH_TIMEOUT_MS = 600_000
/** setTimeout takes no more. Nobody knows how long the rest of the memory takes after the switch. */
const POST_COPY_TIMEOUT_MS = 2 ** 31 - 1
const PAUSE_MS = 1_000

/** Takes VMs in: the target's side of migrations, each a journaled operation. What its record says in the end is the truth for both hosts. Registers its operation kind when constructed. */
export class IncomingMigrations implements MigrationTarget {
  readonly tickets = new MigrationTickets()
  readonly #options: IncomingOptions
  readonly #sessions = new Map<string, IncomingSession>()

  constructor(options: IncomingOptions) {
    this.#options = options
    options.operations.register(this.#handler())
  }

  async check(offer: MigrationOffer, signal: AbortSignal): Promise<OfferCheck> {
    this.#requireExpected(offer)
    const { problems, copy } = await judgeOffer(offer, this.#options.parts, { signal, log: this.#options.log })
    return { problems, copy: copy.map(({ target }) => target), off: offer.off, snapshots: offer.snapshots.length }
  }

  async open(offer: MigrationOffer, files: readonly OfferedFile[], signal: AbortSignal): Promise<OpenedMigration> {
    const { operations, parts, log } = this.#options
    const { id, vmId, name } = offer
    const known = this.#sessions.get(id)
    if (known !== undefined) return abortable(known.opened.promise, signal)
    this.#requireExpected(offer)
    if (operations.get(id) !== undefined) throw isOver(id)
    if (isBeingCleanedUp(operations, vmId))
      throw refused(vmId, ['what an earlier attempt left of it on the target host is still being removed'])
    const { problems, copy } = await judgeOffer(offer, parts, { signal, log })
    if (problems.length > 0) throw refused(vmId, problems)
    const session = this.#sessions.get(id) ?? new IncomingSession(offer, files)
    this.#sessions.set(id, session)
    const params: IncomingParams = {
      vmId,
      name,
      paused: offer.paused,
      off: offer.off,
      volumes: copy.map(({ poolId, volume }) => ({ poolId, name: volume })),
    }
    try {
      await operations.start(INCOMING_KIND, params, {
        id,
        subject: `vm ${vmId}`,
        locks: [vmLock(vmId), `vm-name:${name}`],
      })
    } catch (error) {
      this.#sessions.delete(id)
      throw error
    }
    this.tickets.use(vmId)
    return abortable(session.opened.promise, signal)
  }

  async prepare(
    id: string,
    call: { readonly xml: string; readonly cookie: string; readonly flags: number },
    signal: AbortSignal,
  ): Promise<PreparedMigration> {
    const session = this.#sessions.get(id)
    if (session === undefined) throw isOver(id)
    session.heard()
    session.prepareCall.resolve(call)
    return abortable(session.prepared.promise, signal)
  }

  alive(id: string, _signal: AbortSignal): Promise<boolean> {
    const session = this.#sessions.get(id)
    session?.heard()
    return Promise.resolve(session !== undefined && !session.over.aborted)
  }

  async finish(
    id: string,
    vmId: string,
    cookie: string | undefined,
    signal: AbortSignal,
    consoleTail?: string,
  ): Promise<MigrationOutcome> {
    const { operations, parts } = this.#options
    const session = this.#sessions.get(id)
    if (session !== undefined) {
      session.heard()
      if (cookie === undefined) session.cancel('the source ended the migration')
      else session.finishCall.resolve({ cookie, consoleTail })
    }
    const record = operations.get(id)
    if (record === undefined) {
      // Its record is older than what is kept, or it never came this far. Nothing but its source could start it here; but what came may have gone on, or been deleted.
      const dom = await findDomain(parts.client, vmId, signal)
      return dom === undefined ? { state: 'unknown' } : { state: 'arrived', cookie: '' }
    }
    const end = isFinal(record.state) ? record : await operations.wait(id, signal)
    return outcomeOf(end, session?.finishCookie ?? '')
  }

  #requireExpected({ vmId, name }: MigrationOffer): void {
    if (this.#options.acceptUnannounced || this.tickets.isOpen(vmId)) return
    throw new AgentError(
      'MIGRATION_NOT_EXPECTED',
      `VM ${vmId} (${name}) was not announced on the target host: call PrepareMigration and ReceiveMigration there, or set migration.accept_unannounced`,
    )
  }

  #handler(): OperationHandler<IncomingParams, IncomingResult, IncomingJournal> {
    return {
      kind: INCOMING_KIND,
      onRestart: 'resume',
      onShutdown: 'interrupt',
      run: async (params, ctx) => {
        const session = this.#sessions.get(ctx.id)
        const { vmId } = params
        let arrived = false
        // Under the VM's lock nothing of that id is here, unless it is what is to come.
        const end = this.#options.inventory.arriving(vmId)
        try {
          const result =
            session === undefined ? await this.#afterRestart(params, ctx) : await this.#receive(session, params, ctx)
          arrived = true
          return result
        } catch (error) {
          session?.fail(error)
          arrived = isAgentError(error, 'MIGRATION_SPLIT')
          throw error
        } finally {
          // A source that repeats its question soon after still gets the cookie.
          setTimeout(() => this.#sessions.delete(ctx.id), LOST_MS).unref()
          await end(arrived)
        }
      },
    }
  }

  async #receive(
    session: IncomingSession,
    params: IncomingParams,
    ctx: OperationContext<IncomingJournal>,
  ): Promise<IncomingResult> {
    const { parts, lostMs = LOST_MS, address, afterStep } = this.#options
    const { client } = parts
    const { vmId, name } = params
    const onAbort = () => session.cancel('the migration was cancelled on the target host')
    ctx.signal.addEventListener('abort', onAbort, { once: true })
    const watch = setInterval(
      () => {
        if (session.silentMs() > lostMs) session.cancel(`nothing was heard of the source for ${lostMs / 1000} s`)
      },
      Math.min(lostMs / 4, 1_000),
    )
    let connection: DedicatedConnection | undefined
    let begun = false
    let journal: IncomingJournal | undefined
    let kept: Pick<IncomingJournal, 'kept'> = {}
    try {
      if (ctx.signal.aborted) onAbort()
      session.heard()
      // One that was left here is gone by now, and the VM comes back.
      await parts.deps.splits?.settle(vmId, ctx.signal)
      // Once more, now that nobody else can change it.
      const judgement = await judgeOffer(session.offer, parts, ctx)
      if (judgement.problems.length > 0) throw refused(vmId, judgement.problems)
      await ctx.save({ phase: 'opening', configXml: '' })
      begun = true
      afterStep?.('opening')
      ctx.progress({ phase: 'opening' })
      const room = await makeRoom(session.offer, session.files, judgement, parts, ctx)
      const { opened, disks, limits, snapshotLimits, snapshots } = room
      const allow = (look: () => string[]) => requireOrdinary(vmId, look)
      allow(() => [...strangeParts(opened.liveXml, limits), ...strangeParts(opened.configXml, limits)])
      allow(() => snapshots.flatMap(({ xml }) => strangeSnapshot(xml, snapshotLimits)))
      afterStep?.('opened')
      session.over.throwIfAborted()
      session.opened.resolve(opened)
      if (params.off) {
        ctx.progress({ phase: 'receiving' })
        await session.next(session.finishCall.promise)
        session.decide()
        clearInterval(watch)
        journal = { phase: 'finishing', configXml: opened.configXml, snapshots }
        await ctx.save(journal)
        afterStep?.('finishing')
        return await this.#define(params, journal, ctx)
      }
      const call = await session.next(session.prepareCall.promise)
      allow(() => strangeFlags(call.flags))
      const postCopy = (call.flags & VIR_MIGRATE.POSTCOPY) !== 0
      allow(() => (postCopy ? postCopyProblems(session.offer, disks) : []))
      allow(() => [...strangeParts(call.xml, limits), ...strangeCookie(call.cookie, limits)])
      ctx.progress({ phase: 'preparing' })
      const definition = keptDefinition(call.xml)
      if (definition !== undefined) {
        kept = { kept: definition }
        await ctx.save({ phase: 'opening', configXml: '', ...kept })
      }
      const dedicated = await client.openDedicated(session.over)
      connection = dedicated
      dedicated.ended.then(
        (why) => session.cancel(`libvirt of the target host went away: ${why.message}`),
        () => undefined,
      )
      const listen = await address(ctx.signal)
      const host = listen.includes(':') ? `[${listen}]` : listen
      const { uri_out, cookie_out } = await dedicated.call(
        'remote:DOMAIN_MIGRATE_PREPARE3_PARAMS',
        {
          params: [
            typedParam.string(VIR_MIGRATE_PARAM.URI, `tcp://${host}`),
            typedParam.string(VIR_MIGRATE_PARAM.LISTEN_ADDRESS, listen),
            typedParam.string(VIR_MIGRATE_PARAM.DEST_NAME, name),
            typedParam.string(VIR_MIGRATE_PARAM.DEST_XML, writeXml(toNode(readXml(call.xml)))),
            ...disks.map((disk) => typedParam.string(VIR_MIGRATE_PARAM.MIGRATE_DISKS, disk)),
          ],
          cookie_in: Buffer.from(call.cookie, 'base64'),
          flags: call.flags,
        },
        { timeoutMs: PREPARE_TIMEOUT_MS, signal: session.over },
      )
      afterStep?.('prepared')
      session.prepared.resolve({ uri: uri_out ?? '', cookie: Buffer.from(cookie_out).toString('base64') })
      ctx.progress({ phase: 'receiving' })
      const { cookie, consoleTail } = await session.next(session.finishCall.promise)
      // The definition for its next start comes only now.
      allow(() => strangeCookie(cookie, limits))
      session.decide()
      clearInterval(watch)
      ctx.progress({ phase: 'switching' })
      journal = { phase: 'finishing', configXml: opened.configXml, ...kept, snapshots }
      await ctx.save(journal)
      afterStep?.('finishing')
      if (consoleTail !== undefined) await appendConsoleTail(limits.directory, consoleTail, ctx)
      const finished = dedicated.call(
        'remote:DOMAIN_MIGRATE_FINISH3_PARAMS',
        {
          params: [typedParam.string(VIR_MIGRATE_PARAM.DEST_NAME, name)],
          cookie_in: Buffer.from(cookie, 'base64'),
          // Flags of the source's alone mean nothing here.
          flags: call.flags & ~VIR_MIGRATE.CHANGE_PROTECTION,
          cancelled: 0,
        },
        { timeoutMs: postCopy ? POST_COPY_TIMEOUT_MS : FINISH_TIMEOUT_MS },
      )
      const { cookie_out: last } = await unlessSplit(
        finished,
        (signal) => isSplitAtTarget(vmId, client, signal),
        () => splitToHere(vmId, name),
        ctx,
      )
      afterStep?.('finished')
      session.finishCookie = Buffer.from(last).toString('base64')
      return await this.#here(params, 'arrived', journal, ctx)
    } catch (error) {
      ctx.log.warn({ vm: vmId, err: errorText(error) }, 'an incoming migration ends')
      // Before the connection is closed here, which ends the session as well.
      const why: unknown = session.over.aborted ? session.over.reason : error
      // What was prepared on it goes with it.
      connection?.close()
      const phase = journal === undefined ? 'opening' : 'finishing'
      const vm = { ...params, refused: isLibvirtError(error) }
      const became = isAgentError(error, 'MIGRATION_SPLIT')
        ? 'split'
        : begun
          ? await this.#settled(vm, phase, ctx)
          : undefined
      if (became === 'arrived' || became === 'split') return await this.#here(params, became, journal, ctx)
      if (became === 'gone') await this.#discard(params, kept, ctx)
      throw failure(why, vmId)
    } finally {
      clearInterval(watch)
      ctx.signal.removeEventListener('abort', onAbort)
      connection?.close()
    }
  }

  async #afterRestart(params: IncomingParams, ctx: OperationContext<IncomingJournal>): Promise<IncomingResult> {
    const { journal } = ctx
    const why = new AgentError(
      'ABORTED_BY_RESTART',
      `VM ${params.vmId}: the agent of the target host was restarted while it came in`,
    )
    // Nothing was made.
    if (journal === undefined) throw why
    if (params.off && journal.phase === 'finishing') {
      try {
        return await this.#define(params, journal, ctx)
      } catch (error) {
        agentStops(ctx.signal).throwIfAborted()
        await this.#discard(params, {}, ctx)
        throw failure(error, params.vmId)
      }
    }
    const { phase } = journal
    const isKnown = phase === 'arrived' || phase === 'split' || phase === 'gone'
    const became = isKnown ? phase : await this.#settled({ ...params, refused: false }, phase, ctx)
    if (became === 'arrived' || became === 'split') return this.#here(params, became, journal, ctx)
    if (became === 'gone') await this.#discard(params, journal, ctx)
    throw why
  }

  /** What its source has let go while it was off is this host's, and is defined as often as it takes. LIBVIRT_REFUSED when libvirt does not take it. */
  async #define(
    params: IncomingParams,
    journal: IncomingJournal,
    ctx: OperationContext<IncomingJournal>,
  ): Promise<IncomingResult> {
    const { client } = this.#options.parts
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
    this.#options.afterStep?.('finished')
    return this.#here(params, 'arrived', journal, ctx)
  }

  /** Writes down that the VM is this host's. Throws MIGRATION_SPLIT when it is here without all of its memory. */
  async #here(
    { vmId, name }: IncomingParams,
    phase: Here,
    journal: IncomingJournal | undefined,
    ctx: OperationContext<IncomingJournal>,
  ): Promise<IncomingResult> {
    const { client } = this.#options.parts
    const { configXml = '', snapshots = [] } = journal ?? {}
    const stopping = agentStops(ctx.signal)
    await keep(vmId, { phase, configXml, snapshots }, stopping, ctx)
    this.#options.afterStep?.('arrived')
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

  /** What became of it, as soon as libvirt can tell; a QEMU that waits in vain is ended. Without that answer nothing may be said of it, so it is not given up but with the agent. */
  async #settled(
    vm: IncomingParams & { readonly refused: boolean },
    phase: 'opening' | 'finishing',
    ctx: OperationContext<IncomingJournal>,
  ): Promise<'gone' | 'foreign' | Here> {
    const stopping = agentStops(ctx.signal)
    for (;;) {
      try {
        await this.#options.parts.client.ready(stopping)
        return await settleIncoming(vm, phase, this.#options.parts, { ...ctx, signal: stopping })
      } catch (error) {
        stopping.throwIfAborted()
        ctx.log.warn({ vm: vm.vmId, err: errorText(error) }, 'cannot tell yet what became of an incoming migration')
        await delay(PAUSE_MS, stopping)
      }
    }
  }

  async #discard(
    { vmId, volumes, off }: IncomingParams,
    { kept }: Pick<IncomingJournal, 'kept'>,
    ctx: OperationContext<IncomingJournal>,
  ): Promise<void> {
    const { parts, operations } = this.#options
    const rest: OpContext = { ...ctx, signal: AbortSignal.timeout(PREPARE_TIMEOUT_MS) }
    try {
      await forget(vmId, kept, ctx)
      // Of one that is off nothing was here before this was written: what is now is somebody else's.
      const dom = off ? undefined : await findDomain(parts.client, vmId, rest.signal)
      if (dom !== undefined) await removeDomain(parts.deps, dom, vmId, rest.signal)
      await deleteOwnVolumes(parts.deps, volumes, vmId, rest)
      await removeVmDirectory(parts.deps, vmId)
      if (kept !== undefined) await removeKept(kept, vmId, parts.client, rest.signal)
    } catch (error) {
      if (!mayPass(error))
        ctx.log.error({ vm: vmId, err: errorText(error) }, 'remains of a migration are left to a cleanup')
      await startCleanup(operations, vmId, volumes, kept)
    }
  }
}

/** Writes that a VM did not come, which leaves no passwords of it in the history of operations. With what libvirt keeps of it that is a condition of all that follows: from then on a definition of that id says nothing of where the VM is. */
async function forget(vmId: string, kept: string | undefined, ctx: OperationContext<IncomingJournal>): Promise<void> {
  if (kept !== undefined) return ctx.save({ phase: 'gone', configXml: '', kept })
  await ctx.save({ phase: 'gone', configXml: '' }).catch((error: unknown) => {
    ctx.log.warn(
      { vm: vmId, err: errorText(error) },
      'the journal of a migration keeps a definition that it needs no more',
    )
  })
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

/** Fires when the agent stops, and not when the operation is cancelled: what became of a VM has to be known all the same. */
function agentStops(signal: AbortSignal): AbortSignal {
  const controller = new AbortController()
  const look = () => {
    if (signal.reason instanceof AgentError && signal.reason.reason === 'SHUTTING_DOWN') controller.abort(signal.reason)
  }
  if (signal.aborted) look()
  else signal.addEventListener('abort', look, { once: true })
  return controller.signal
}

// What comes from another host is started by libvirt as root: only what this agent would make itself.
function requireOrdinary(vmId: string, look: () => string[]): void {
  let strange: readonly string[]
  try {
    strange = look()
  } catch (error) {
    throw refused(vmId, [`what came of it cannot be read: ${errorText(error)}`])
  }
  if (strange.length > 0) throw refused(vmId, strange)
}

// What is written down as arrived is here, whatever else could not be.
function outcomeOf({ state, error, journal }: OperationRecord, cookie: string): MigrationOutcome {
  const phase = (journal as IncomingJournal | undefined)?.phase
  if (phase === 'split') return { state: 'arrived', cookie, split: true }
  const hasArrived = state === 'completed' || phase === 'arrived'
  return hasArrived ? { state: 'arrived', cookie } : { state: 'cancelled', why: error?.message ?? state }
}

function isOver(id: string): AgentError {
  return new AgentError('MIGRATION_FAILED', `the migration ${id} is over on the target host; begin another one`)
}

function failure(error: unknown, vmId: string): AgentError {
  const { message, reason } = error instanceof AgentError ? error : vmError(error, vmId)
  return reason === 'MIGRATION_REFUSED'
    ? toAgentError(error)
    : new AgentError('MIGRATION_FAILED', `${message}${tlsAdvice(error, 'target')}`, { cause: error })
}
