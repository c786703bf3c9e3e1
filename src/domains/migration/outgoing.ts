import { randomUUID } from 'node:crypto'
import type { Logger, OpContext } from '../../core/context.ts'
import { AgentError, errorText, isAgentError } from '../../core/errors.ts'
import type { MigrationRequest } from '../../core/model.ts'
import { VIR_MIGRATE, VIR_MIGRATE_PARAM } from '../../libvirt/constants.ts'
import type { DedicatedConnection } from '../../libvirt/dedicated-connection.ts'
import { typedParam } from '../../libvirt/typed-params.ts'
import type { RemoteTypedParam } from '../../libvirt/wire/remote-types.gen.ts'
import type { OperationManager } from '../../operations/manager.ts'
import type { OperationContext, OperationHandler, OperationRecord } from '../../operations/operation.ts'
import { delay } from '../../platform/clock.ts'
import { mayPass } from '../cleanup.ts'
import { parseDomain } from '../domain-info.ts'
import type { DomainInventory } from '../inventory.ts'
import { domainRef, findDomain, isOff, readDomainXml, readPowerState } from '../libvirt-domain.ts'
import { vmError } from '../libvirt-errors.ts'
import { vmLock } from '../power.ts'
import { hasSavedState } from '../saved-state.ts'
import { buildOffer, readFiles, refused, type MigrationParts } from './build-offer.ts'
import { readConsoleTail } from './console-tail.ts'
import type { MigrationOffer, MigrationOutcome, MigrationTarget, OfferCheck } from './messages.ts'
import { confirm, flagsOf, limitsOf } from './migrate-calls.ts'
import { followJob } from './migration-job.ts'
import type { OutgoingJournal } from './outgoing-journal.ts'
import { leaveSource, resumeSource, settleSource, type SourceUse } from './settle-outgoing.ts'
import { defineSnapshots, forgetSnapshots } from './snapshot-metadata.ts'
import { isSplitAtSource, postCopyProblems, restAtSource, splitFromHere, unlessSplit } from './split.ts'
import { tlsAdvice } from './tls-advice.ts'
import type { LeasedVm, LeaseKeeper } from '../vm-lease.ts'
import { withLease } from '../with-lease.ts'

/** Kind of the operation in the journal; its id is that of the migration. */
export const OUTGOING_KIND = 'vm.migrate'

/** What came of a migration. */
export interface OutgoingResult {
  /** How long the guest stood still by QEMU's account; absent when it was not told. */
  readonly downtimeMs?: number
}

export interface OutgoingOptions {
  readonly parts: MigrationParts
  readonly operations: OperationManager
  readonly inventory: Pick<DomainInventory, 'settle' | 'nameOf' | 'movedAway'>
  /** The agent at an address. */
  readonly connect: (target: string) => MigrationTarget
  /** Encrypt the connections between the QEMUs, with the certificates that libvirt is configured with. */
  readonly tls: boolean
  readonly log: Logger
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}

const CALL_TIMEOUT_MS = 180_000
/** setTimeout takes no more. A migration has no deadline: it ends, or is cancelled. */
const PERFORM_TIMEOUT_MS = 2 ** 31 - 1
/** How long the target is asked to forget what it has nothing of; it gives up by itself after that. */
const FORGET_MS = 15_000
const FIRST_PAUSE_MS = 250
const LONGEST_PAUSE_MS = 10_000

/**
 * Moves VMs to other hosts: the source's side, a journaled operation. libvirt's five calls are made by the two agents, and the guest goes on here only after the target has said that it does not run
 * there, whatever breaks. Registers its operation kind when constructed.
 */
export class OutgoingMigrations {
  readonly #options: OutgoingOptions

  constructor(options: OutgoingOptions) {
    this.#options = options
    options.operations.register(this.#handler())
  }

  /** Looks at both hosts and changes nothing; every obstacle, for people. Errors: those of `buildOffer` but MIGRATION_REFUSED, MIGRATION_PEER_UNAVAILABLE, MIGRATION_SPLIT. */
  async check(request: MigrationRequest, signal: AbortSignal): Promise<readonly string[]> {
    const { parts, connect, log } = this.#options
    await parts.deps.splits?.refuse(request.vmId, signal)
    try {
      const offer = await buildOffer(randomUUID(), request, parts, { signal, log })
      return (await judge(connect(request.target), request, offer, signal)).problems
    } catch (error) {
      if (isAgentError(error, 'MIGRATION_REFUSED')) return [error.message]
      throw error
    }
  }

  /** Begins; the same VM to the same place again is the same migration. VM_STATE_CONFLICT when it is on its way elsewhere. */
  async start(request: MigrationRequest): Promise<OperationRecord> {
    const { vmId } = request
    const record = await this.#options.operations.start(OUTGOING_KIND, request, {
      subject: `vm ${vmId}`,
      dedupeKey: `${OUTGOING_KIND}:${vmId}`,
      locks: [vmLock(vmId)],
    })
    if ((record.params as MigrationRequest).target !== request.target) {
      throw new AgentError('VM_STATE_CONFLICT', `VM ${vmId} is on its way to another host; wait for the end of that`)
    }
    return record
  }

  #handler(): OperationHandler<MigrationRequest, OutgoingResult, OutgoingJournal> {
    return {
      kind: OUTGOING_KIND,
      onRestart: 'resume',
      onShutdown: 'interrupt',
      run: async (request, ctx) => {
        if (ctx.journal === undefined) await this.#options.parts.deps.splits?.refuse(request.vmId, ctx.signal)
        try {
          if (ctx.journal === undefined) return await this.#move(request, ctx)
          return await this.#afterBreak(request, ctx.journal, restarted(request.vmId), ctx)
        } catch (error) {
          if (isAgentError(error, 'MIGRATION_SPLIT')) {
            await this.#markSplit(request, ctx)
            await this.#leaveLeases(request.vmId, ctx)
          }
          // With these it goes on after a restart; otherwise it is over.
          const goesOn = [ctx.signal.reason, error].some((why) => isAgentError(why, 'SHUTTING_DOWN'))
          if (!goesOn) await this.#dropSnapshots(ctx)
          throw error
        } finally {
          await this.#options.inventory.settle(request.vmId)
        }
      },
    }
  }

  async #move(request: MigrationRequest, ctx: OperationContext<OutgoingJournal>): Promise<OutgoingResult> {
    const { parts, connect, tls, afterStep } = this.#options
    const { vmId } = request
    const target = connect(request.target)
    ctx.progress({ phase: 'preparing' })
    const offer = await buildOffer(ctx.id, request, parts, ctx)
    const { problems, copy } = await judge(target, request, offer, ctx.signal)
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
            throw new AgentError(
              'VM_STATE_CONFLICT',
              `VM ${vmId} was started as it was about to move; migrate it again`,
            )
          await enter('deciding')
          const outcome = await this.#decide(target, request, '', ctx)
          if (outcome.state === 'cancelled')
            throw new AgentError('MIGRATION_FAILED', `VM ${vmId} was not taken by the target host: ${outcome.why}`)
          await enter('moved')
          const left = await this.#leave(request, journal, ctx)
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
      const performed = await this.#perform(dedicated, request, prepared, [...params, ...limitsOf(request)], flags, ctx)
      afterStep?.('performed')
      await enter('deciding')
      const tail = mark === undefined ? undefined : await readConsoleTail(offer.directory, mark, ctx)
      const outcome = await this.#decide(target, request, performed, ctx, { letGo: () => dedicated.close(), tail })
      if (outcome.state === 'cancelled') {
        await confirm(dedicated, vmId, flags, '', 1).catch((error: unknown) => {
          ctx.log.warn({ vm: vmId, err: errorText(error) }, 'libvirt did not take the guest back by itself')
        })
        throw new AgentError('MIGRATION_FAILED', `VM ${vmId} did not start on the target host: ${outcome.why}`)
      }
      if (outcome.split === true) {
        // Otherwise libvirt waits for what does not come.
        connection.close()
        return await this.#split(request, journal, ctx)
      }
      await enter('moved')
      await confirm(dedicated, vmId, flags, outcome.cookie, 0).catch((error: unknown) => {
        ctx.log.warn({ vm: vmId, err: errorText(error) }, 'libvirt did not remove a VM that has moved; the agent does')
      })
      afterStep?.('confirmed')
      connection.close()
      return await this.#leave(request, journal, ctx)
    } catch (error) {
      connection?.close()
      return await this.#afterBreak(request, journal, error, ctx, begun)
    } finally {
      heart.stop()
      connection?.close()
    }
  }

  async #perform(
    dedicated: DedicatedConnection,
    { vmId, options }: MigrationRequest,
    { uri, cookie }: { readonly uri: string; readonly cookie: string },
    params: readonly RemoteTypedParam[],
    flags: number,
    ctx: OperationContext<OutgoingJournal>,
  ): Promise<string> {
    const { client } = this.#options.parts
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
        { timeoutMs: PERFORM_TIMEOUT_MS },
      )
      return Buffer.from(cookie_out).toString('base64')
    } finally {
      await job.stop()
    }
  }

  /** Asks the target to run the guest until it says how that ended: before it has, nobody may say where the VM is. */
  async #decide(
    target: MigrationTarget,
    request: MigrationRequest,
    cookie: string | undefined,
    ctx: OperationContext<OutgoingJournal>,
    { letGo, tail }: { readonly letGo?: () => void; readonly tail?: string | undefined } = {},
  ): Promise<Exclude<MigrationOutcome, { state: 'unknown' }>> {
    const { vmId } = request
    ctx.progress({ phase: 'switching' })
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      // The agent may stop; who cancels has to wait for the answer all the same.
      if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw ctx.signal.reason
      try {
        const asked = target.finish(ctx.id, vmId, cookie, AbortSignal.timeout(CALL_TIMEOUT_MS), tail)
        const outcome: MigrationOutcome = await (request.options.postCopyAfterMs === undefined
          ? asked
          : this.#unlessSplit(vmId, asked, ctx))
        if (outcome.state !== 'unknown') return outcome
        // While libvirt has the migration open nobody can do anything with the VM.
        letGo?.()
        if (await this.#isDecidedHere(vmId, ctx)) return { state: 'cancelled', why: 'an admin has decided that' }
        ctx.progress({ phase: UNDECIDED })
        ctx.log.error({ vm: vmId }, `${UNDECIDED} (docs/vms.md, Migration)`)
        await delay(pauseMs, AbortSignal.timeout(pauseMs * 2))
      } catch (error) {
        if (isAgentError(error, 'MIGRATION_SPLIT')) throw error
        ctx.progress({ phase: 'waiting for the target host to say where the VM is' })
        ctx.log.warn({ vm: vmId, err: errorText(error) }, 'the target host has not said yet where the VM is')
        await delay(pauseMs, AbortSignal.timeout(pauseMs * 2))
      }
    }
  }

  #unlessSplit<T>(vmId: string, asked: Promise<T>, ctx: OpContext): Promise<T> {
    const { parts, inventory } = this.#options
    return unlessSplit(
      asked,
      (signal) => isSplitAtSource(vmId, parts.client, signal),
      () => splitFromHere(vmId, inventory.nameOf(vmId), 'kept'),
      ctx,
    )
  }

  /** Brings a migration to its end whose guest is at the target without all of its memory. What of it is here stays, paused as it is; without, the VM is taken off this host. Throws MIGRATION_SPLIT. */
  async #split(
    request: MigrationRequest,
    journal: OutgoingJournal,
    ctx: OperationContext<OutgoingJournal>,
  ): Promise<OutgoingResult> {
    const { vmId } = request
    const { parts, inventory } = this.#options
    const rest = await this.#patiently(ctx, () => restAtSource(vmId, parts.client, context(ctx)))
    if (rest === 'kept') throw splitFromHere(vmId, inventory.nameOf(vmId), 'kept')
    const moved: OutgoingJournal = { ...journal, phase: 'moved', lost: true }
    await ctx.save(moved)
    return this.#leave(request, moved, ctx)
  }

  // On disk before anybody hears of it: with the QEMU that is left here, or with a boot of this host, libvirt forgets why the VM stands still.
  async #markSplit({ vmId, target }: MigrationRequest, ctx: OperationContext<OutgoingJournal>): Promise<void> {
    const { parts, operations, inventory } = this.#options
    const journal = operations.get(ctx.id)?.journal as OutgoingJournal | undefined
    if (journal?.lost === true) return
    const mark = { name: inventory.nameOf(vmId), target, since: new Date().toISOString() }
    await this.#patiently(ctx, async () => parts.deps.splits?.mark(vmId, mark))
  }

  // It is the target that writes to its disks now. Those that this agent takes again after a restart are told apart there (vm-leases.ts).
  async #leaveLeases(vmId: string, ctx: OpContext): Promise<void> {
    const { deps, client } = this.#options.parts
    try {
      const { signal } = context(ctx)
      const xml = await readDomainXml(client, domainRef(vmId), vmId, signal)
      if (xml !== undefined) await deps.leases?.leave(parseDomain(xml), { ...ctx, signal })
    } catch (error) {
      ctx.log.warn({ vm: vmId, err: errorText(error) }, 'the lease of a VM whose migration broke off remains here')
    }
  }

  // Who resumes or starts it here by libvirt's own means, or undefines it, knows what became of it: the agent does none of that before it has an answer.
  async #isDecidedHere(vmId: string, ctx: OperationContext<OutgoingJournal>): Promise<boolean> {
    const { client } = this.#options.parts
    const signal = AbortSignal.timeout(CALL_TIMEOUT_MS)
    if ((await findDomain(client, vmId, signal)) === undefined) return true
    return (await settleSource(vmId, { client }, { ...ctx, signal })) === 'runs'
  }

  /** Brings a migration to its end after something broke, by what is true now. Without `begun` libvirt was not asked for anything. Throws `why` when the VM is here. */
  async #afterBreak(
    request: MigrationRequest,
    journal: OutgoingJournal,
    why: unknown,
    ctx: OperationContext<OutgoingJournal>,
    begun = true,
  ): Promise<OutgoingResult> {
    const { parts, connect } = this.#options
    const { vmId } = request
    const target = connect(request.target)
    if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw ctx.signal.reason
    if (isAgentError(why, 'MIGRATION_SPLIT')) throw why
    ctx.log.warn({ vm: vmId, phase: journal.phase, err: errorText(why) }, 'a migration ends early')
    if (journal.phase === 'moved') return this.#leave(request, journal, ctx)
    const settle = () => this.#patiently(ctx, () => settleSource(vmId, parts, context(ctx)))
    // Once the target may run it, its word comes first: it does not depend on this libvirt.
    const here = begun && journal.phase !== 'deciding' ? await settle() : 'still'
    // Nothing was switched, and without our cookie the target cannot start it.
    if (journal.phase === 'preparing' || (here === 'runs' && journal.phase === 'performing')) {
      await target
        .finish(ctx.id, vmId, undefined, AbortSignal.timeout(FORGET_MS))
        .catch((error: unknown) =>
          ctx.log.info({ vm: vmId, err: errorText(error) }, 'the target host gives up by itself'),
        )
      await this.#bringBackSnapshots(vmId, journal, ctx)
      throw ended(why, vmId)
    }
    const conclude = async () => {
      const outcome = await this.#decide(target, request, undefined, ctx)
      if (outcome.state === 'arrived' && outcome.split === true) return this.#split(request, journal, ctx)
      if (outcome.state === 'arrived') {
        await ctx.save({ ...journal, phase: 'moved' })
        return this.#leave(request, { ...journal, phase: 'moved' }, ctx)
      }
      if (journal.phase === 'deciding') await settle()
      try {
        if (!journal.paused) await this.#patiently(ctx, () => resumeSource(vmId, parts, context(ctx)))
      } finally {
        await this.#bringBackSnapshots(vmId, journal, ctx)
      }
      throw ended(why, vmId)
    }
    return journal.off ? heldIfFree({ vmId, disks: journal.disks }, parts.deps, conclude, ctx) : conclude()
  }

  /** Takes a VM off this host that has moved. It is never given up: a definition that stays behind could be started. */
  async #leave(
    { vmId }: MigrationRequest,
    journal: OutgoingJournal,
    ctx: OperationContext<OutgoingJournal>,
  ): Promise<OutgoingResult> {
    const { parts, inventory } = this.#options
    ctx.progress({ phase: 'leaving', percent: 100 })
    const name = inventory.nameOf(vmId)
    const leave = () => this.#patiently(ctx, () => leaveSource(vmId, journal, parts, context(ctx)))
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
    await this.#dropSnapshots(ctx)
    if (journal.lost === true) throw splitFromHere(vmId, name, 'lost')
    return left
  }

  // Libvirt has to know them again before anybody changes the VM: files that no snapshot keeps are merged.
  async #bringBackSnapshots(
    vmId: string,
    journal: OutgoingJournal,
    ctx: OperationContext<OutgoingJournal>,
  ): Promise<void> {
    const { snapshots } = journal
    if (snapshots === undefined) return
    const { client } = this.#options.parts
    await this.#patiently(ctx, async () => {
      // By libvirt's own means it may have been taken off this host.
      if ((await findDomain(client, vmId, context(ctx).signal)) === undefined) return
      await defineSnapshots(vmId, snapshots, client, context(ctx))
    })
  }

  // They have passwords of displays, which are not to stay in the history of operations.
  async #dropSnapshots(ctx: OperationContext<OutgoingJournal>): Promise<void> {
    const journal = this.#options.operations.get(ctx.id)?.journal as OutgoingJournal | undefined
    if (journal?.snapshots === undefined) return
    const { snapshots: _, ...rest } = journal
    await ctx.save(rest).catch((error: unknown) => {
      ctx.log.warn({ err: errorText(error) }, 'the journal of a migration keeps snapshots that it needs no more')
    })
  }

  async #patiently<T>(ctx: OperationContext<OutgoingJournal>, work: () => Promise<T>): Promise<T> {
    const { client } = this.#options.parts
    for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
      if (isAgentError(ctx.signal.reason, 'SHUTTING_DOWN')) throw ctx.signal.reason
      try {
        await client.ready(AbortSignal.timeout(LONGEST_PAUSE_MS))
        return await work()
      } catch (error) {
        if (error instanceof AgentError && !mayPass(error)) throw error
        ctx.log.warn({ err: errorText(error) }, 'a migration has to wait')
        await delay(pauseMs, AbortSignal.timeout(pauseMs * 2))
      }
    }
  }
}

/** Without the cancellation: what was begun has to come to its end. */
function context(ctx: OpContext): OpContext {
  return { ...ctx, signal: AbortSignal.timeout(PERFORM_TIMEOUT_MS) }
}

// The agent that stopped may have given its lease back. Who has it by now may be the target, so that this is no reason not to ask it.
function heldIfFree<T>(vm: LeasedVm, deps: MigrationParts['deps'], work: () => Promise<T>, ctx: OpContext): Promise<T> {
  const keep = (leases: LeaseKeeper) =>
    leases.keepFree(vm, context(ctx)).catch((error: unknown) => {
      ctx.log.warn(
        { vm: vm.vmId, err: errorText(error) },
        'a VM whose place is not known yet cannot be kept from other hosts',
      )
    })
  return withLease(vm, deps, work, ctx, keep)
}

async function judge(
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

function beatTo(target: MigrationTarget, id: string): { stop(): void } {
  const timer = setInterval(() => {
    // A target that does not hear us for long ends it; what becomes of the transfer is seen here.
    target.alive(id, AbortSignal.timeout(CALL_TIMEOUT_MS)).catch(() => undefined)
  }, BEAT_MS)
  return { stop: () => clearInterval(timer) }
}

const BEAT_MS = 5_000
/** What a job says that nobody but an admin can end. */
const USED_HERE: Readonly<Record<SourceUse, string>> = {
  runs: 'the VM is at the target host, and was started here meanwhile: shut it down',
  saved: 'the VM is at the target host, and its memory was saved here meanwhile: start it and shut it down, or drop it',
}
const UNDECIDED = 'the target host knows nothing of the VM: an admin has to say whether it ran there'

function restarted(vmId: string): AgentError {
  return new AgentError(
    'ABORTED_BY_RESTART',
    `VM ${vmId}: the agent was restarted during its migration; the VM is here`,
  )
}

function ended(why: unknown, vmId: string): AgentError {
  const { reason, message } = vmError(why, vmId)
  if (why instanceof AgentError && reason !== 'LIBVIRT_REFUSED') return why
  return new AgentError('MIGRATION_FAILED', `${message}; the VM is where it was${tlsAdvice(why, 'source')}`, {
    cause: why,
  })
}
