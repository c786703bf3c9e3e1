import { randomUUID } from 'node:crypto'
import { AgentError, isAgentError } from '../../core/errors.ts'
import type { MigrationRequest } from '../../core/model.ts'
import type { OperationHandler, OperationRecord } from '../../operations/operation.ts'
import { vmLock } from '../power.ts'
import { askTarget } from './ask-target.ts'
import { buildOffer } from './build-offer.ts'
import { endOutgoing } from './end-outgoing.ts'
import { moveOutgoing } from './move-outgoing.ts'
import type { OutgoingJournal, OutgoingResult } from './outgoing-journal.ts'
import type { OutgoingOptions } from './outgoing-options.ts'
import { dropSnapshots } from './outgoing-snapshots.ts'
import { leaveLeases, markSplit } from './split-outgoing.ts'

/** Kind of the operation in the journal; its id is that of the migration. */
export const OUTGOING_KIND = 'vm.migrate'

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
      return (await askTarget(connect(request.target), request, offer, signal)).problems
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
          if (ctx.journal === undefined) return await moveOutgoing(request, this.#options, ctx)
          const broke = { why: restarted(request.vmId), begun: true }
          return await endOutgoing(request, ctx.journal, broke, this.#options, ctx)
        } catch (error) {
          if (isAgentError(error, 'MIGRATION_SPLIT')) {
            await markSplit(request, this.#options, ctx)
            await leaveLeases(request.vmId, this.#options.parts, ctx)
          }
          // With these it goes on after a restart; otherwise it is over.
          const goesOn = [ctx.signal.reason, error].some((why) => isAgentError(why, 'SHUTTING_DOWN'))
          if (!goesOn) await dropSnapshots(this.#options.operations, ctx)
          throw error
        } finally {
          await this.#options.inventory.settle(request.vmId)
        }
      },
    }
  }
}

function restarted(vmId: string): AgentError {
  return new AgentError(
    'ABORTED_BY_RESTART',
    `VM ${vmId}: the agent was restarted during its migration; the VM is here`,
  )
}
