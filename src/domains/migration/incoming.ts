import { AgentError, isAgentError } from '../../core/errors.ts'
import { abortable } from '../../core/keyed-lock.ts'
import { isFinal, type OperationHandler, type OperationRecord } from '../../operations/operation.ts'
import { isBeingCleanedUp } from '../cleanup.ts'
import { findDomain } from '../libvirt-domain.ts'
import { vmLock } from '../power.ts'
import { refused } from './build-offer.ts'
import { judgeOffer } from './check-offer.ts'
import type { IncomingJournal, IncomingParams, IncomingResult } from './incoming-journal.ts'
import type { IncomingOptions } from './incoming-options.ts'
import { IncomingSession, LOST_MS } from './incoming-session.ts'
import type {
  MigrationOffer,
  MigrationOutcome,
  MigrationTarget,
  OfferCheck,
  OfferedFile,
  OpenedMigration,
  PreparedMigration,
} from './messages.ts'
import { MigrationTickets } from './migration-tickets.ts'
import { receiveIncoming } from './receive-incoming.ts'
import { resumeIncoming } from './resume-incoming.ts'

/** Kind of the operation in the journal; its id is that of the migration. */
export const INCOMING_KIND = 'vm.migrate-in'

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
            session === undefined
              ? await resumeIncoming(params, this.#options, ctx)
              : await receiveIncoming(session, params, this.#options, ctx)
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
