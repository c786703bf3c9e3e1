import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import type { VmSnapshot } from '../core/model.ts'
import { quote } from '../core/ids.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal, type OperationContext, type OperationHandler } from '../operations/operation.ts'
import { delay } from '../platform/clock.ts'
import { mayPass } from './cleanup.ts'
import { readHalves } from './domain-halves.ts'
import type { DomainInventory } from './inventory.ts'
import { vmLock } from './power.ts'
import { parseDescription, parseVmSnapshotName } from './snapshot-plan.ts'
import { chooseSnapshotKind } from './snapshot-kind.ts'
import { overlayObstacle, type PlannedOverlay } from './overlay-plan.ts'
import { thawGuest, watchForBoot } from './quiesce.ts'
import { readSnapshots, type SnapshotParts } from './read-snapshots.ts'
import type { Merge } from './settle-layers.ts'
import { removeSnapshot, revertToSnapshot, takeSnapshot, type SnapshotNotes, type SnapshotWish } from './snapshots.ts'

/** Kinds of the operations in the journal. */
export const SNAPSHOT_KINDS = {
  create: 'vm.create-snapshot',
  revert: 'vm.revert-snapshot',
  delete: 'vm.delete-snapshot',
  cleanup: 'vm.snapshot-cleanup',
} as const

interface CleanupParams extends Params {
  readonly frozen?: boolean
}

interface Params {
  readonly vmId: string
  readonly name: string
}

/** What is not there is as older agents had it: with the memory, without standing still. */
type CreateParams = Params & {
  readonly description: string
  readonly quiesce?: boolean
  readonly includeMemory?: boolean
}

/** Whether something was begun that has to be undone, or looked after; whether the guest may stand still; the merge that is under way; and what a VM goes back in. */
interface Journal {
  readonly begun: boolean
  readonly frozen?: boolean
  readonly merge?: Merge | undefined
  readonly plans?: readonly PlannedOverlay[]
}

export interface SnapshotOperationsOptions {
  readonly parts: SnapshotParts
  readonly operations: OperationManager
  readonly inventory: Pick<DomainInventory, 'settle'>
  /** How long an undo waits for libvirt before it leaves the rest to a cleanup operation; default 20 s. */
  readonly undoWaitMs?: number
  /** How long a cleanup tries at a stretch to let a guest go on, before it pauses for longer; default 1 min. */
  readonly thawTimeoutMs?: number
}

const UNDO_WAIT_MS = 20_000
const UNDO_TIMEOUT_MS = 10 * 60_000
const FIRST_PAUSE_MS = 1_000
const LONGEST_PAUSE_MS = 60_000

/** Snapshots of VMs as journaled operations, one at a time per VM. Registers its operation kinds when constructed. */
export class SnapshotOperations {
  readonly #options: SnapshotOperationsOptions

  constructor(options: SnapshotOperationsOptions) {
    this.#options = options
    const { operations } = options
    operations.register(this.#creation())
    operations.register(this.#reversion())
    operations.register(this.#deletion())
    operations.register(this.#cleanup())
  }

  /** Errors: VM_NOT_FOUND, LIBVIRT_*. */
  async list(vmId: string, signal: AbortSignal): Promise<VmSnapshot[]> {
    return readSnapshots(vmId, this.#options.parts, signal)
  }

  /** Takes a snapshot; the same again is the same snapshot. Errors: INVALID_NAME, VM_NOT_MANAGED, CONFLICT, those of `takeSnapshot`, ABORTED_BY_RESTART. */
  async create(vmId: string, request: SnapshotWish, signal: AbortSignal): Promise<VmSnapshot> {
    const { parts, operations } = this.#options
    const name = parseVmSnapshotName(request.name)
    const description = parseDescription(request.description)
    const { quiesce = false, includeMemory } = request
    const halves = await readHalves(parts.client, vmId, signal)
    if (!halves.config.facts.managed) {
      throw new AgentError('VM_NOT_MANAGED', `VM ${vmId} was not made by this agent, which keeps no snapshots of it`)
    }
    const snapshots = await readSnapshots(vmId, parts, signal)
    if (!snapshots.some(({ id }) => id === name)) {
      chooseSnapshotKind({ halves, snapshots, includeMemory, noOverlay: (disk) => overlayObstacle(disk, parts) })
    }
    if (this.#isBeingCleanedUp(vmId, name)) {
      throw new AgentError(
        'CONFLICT',
        `VM ${vmId}: what is left of an earlier snapshot ${quote(name)} is being removed`,
      )
    }
    const record = await operations.start<CreateParams>(
      SNAPSHOT_KINDS.create,
      { vmId, name, description, quiesce, ...(includeMemory === undefined ? {} : { includeMemory }) },
      { subject: `vm ${vmId}`, dedupeKey: `${SNAPSHOT_KINDS.create}:${vmId}:${name}`, locks: [vmLock(vmId)] },
    )
    if ((record.params as CreateParams).description !== description) throw different(vmId, name)
    return operations.result<VmSnapshot>(record.id, signal)
  }

  /** Brings a VM back; errors as `revertToSnapshot`, ABORTED_BY_RESTART when the agent died over it. */
  async revert(vmId: string, name: string, signal: AbortSignal): Promise<void> {
    await this.#run(SNAPSHOT_KINDS.revert, vmId, name, signal)
  }

  /** Success when it is gone; errors as `removeSnapshot`. */
  async delete(vmId: string, name: string, signal: AbortSignal): Promise<void> {
    await this.#run(SNAPSHOT_KINDS.delete, vmId, name, signal)
  }

  async #run(kind: string, vmId: string, name: string, signal: AbortSignal): Promise<void> {
    const { parts, operations } = this.#options
    // What can be said at once is said without an operation.
    await readSnapshots(vmId, parts, signal)
    const options = { subject: `vm ${vmId}`, dedupeKey: `${kind}:${vmId}:${name}`, locks: [vmLock(vmId)] }
    const record = await operations.start<Params>(kind, { vmId, name }, options)
    await operations.result(record.id, signal)
  }

  #creation(): OperationHandler<CreateParams, VmSnapshot, Journal> {
    const { parts, inventory } = this.#options
    return {
      kind: SNAPSHOT_KINDS.create,
      onRestart: 'rollback',
      onShutdown: 'finish',
      run: async ({ vmId, name, description, quiesce = false, includeMemory }, ctx) => {
        const present = (await readSnapshots(vmId, parts, ctx.signal)).find(({ id }) => id === name)
        if (present !== undefined) {
          if (present.description !== description) throw different(vmId, name)
          return present
        }
        const notes = notesIn(ctx)
        try {
          return await takeSnapshot(vmId, { name, description, quiesce, includeMemory }, parts, notes, ctx)
        } catch (error) {
          if (notes.journal().begun) await this.#undo(vmId, name, notes, ctx)
          throw error
        } finally {
          await inventory.settle(vmId)
        }
      },
      rollback: async ({ vmId, name }, ctx) => {
        if (ctx.journal?.begun === true) await this.#undo(vmId, name, notesIn(ctx), ctx)
      },
    }
  }

  #reversion(): OperationHandler<Params, undefined, Journal> {
    const { parts, inventory } = this.#options
    return {
      kind: SNAPSHOT_KINDS.revert,
      onRestart: 'resume',
      onShutdown: 'finish',
      run: async ({ vmId, name }, ctx) => {
        // libvirtd has gone on without us, and the guest since: reverting once more would take from it what it did. By overlays it is our own work, and goes on.
        if (ctx.journal?.begun === true && ctx.journal.plans === undefined) {
          throw new AgentError(
            'ABORTED_BY_RESTART',
            `VM ${vmId}: the agent was restarted while it was brought back to snapshot ${quote(name)}; look whether it was, and repeat it if not`,
          )
        }
        await parts.client.ready(ctx.signal)
        await revertToSnapshot(vmId, name, parts, notesIn(ctx), ctx)
        await inventory.settle(vmId)
      },
    }
  }

  #deletion(): OperationHandler<Params, undefined, Journal> {
    const { parts, inventory } = this.#options
    return {
      kind: SNAPSHOT_KINDS.delete,
      onRestart: 'resume',
      onShutdown: 'finish',
      run: async ({ vmId, name }, ctx) => {
        await parts.client.ready(ctx.signal)
        await removeSnapshot(vmId, name, this.#hasRemains(vmId, name), parts, notesIn(ctx), ctx)
        await inventory.settle(vmId)
      },
    }
  }

  #cleanup(): OperationHandler<CleanupParams, undefined, Journal> {
    const { parts, inventory, thawTimeoutMs } = this.#options
    return {
      kind: SNAPSHOT_KINDS.cleanup,
      onRestart: 'resume',
      onShutdown: 'interrupt',
      run: async ({ vmId, name, frozen = false }, ctx) => {
        const notes = notesIn(ctx, { begun: true, frozen })
        let boot: Awaited<ReturnType<typeof watchForBoot>> | undefined
        try {
          for (let pauseMs = FIRST_PAUSE_MS; ; pauseMs = Math.min(pauseMs * 2, LONGEST_PAUSE_MS)) {
            try {
              await parts.client.ready(ctx.signal)
              if (notes.journal().frozen === true) {
                boot ??= await watchForBoot(vmId, parts)
                if (boot.seen()) await notes.frozen(false)
                else await thawGuest(vmId, parts, (on) => notes.frozen(on), ctx, thawTimeoutMs)
              }
              await removeSnapshot(vmId, name, true, parts, notes, ctx)
              await inventory.settle(vmId)
              return
            } catch (error) {
              ctx.signal.throwIfAborted()
              // It went with the VM.
              if (isAgentError(error, 'VM_NOT_FOUND')) return
              // A guest that stands still is never given up, whatever its agent says.
              if (notes.journal().frozen !== true && !mayPass(error)) throw error
              ctx.log.warn({ vm: vmId, snapshot: name, err: errorText(error) }, 'removal of a snapshot has to wait')
              await delay(pauseMs, ctx.signal)
            }
          }
        } finally {
          boot?.end()
        }
      },
    }
  }

  async #undo(vmId: string, name: string, notes: OpenNotes, ctx: OperationContext<Journal>): Promise<void> {
    const { parts, operations, undoWaitMs = UNDO_WAIT_MS } = this.#options
    try {
      // Undoing must not be stopped by the abort that made it necessary.
      await parts.client.ready(AbortSignal.timeout(undoWaitMs))
      // The guest first: it stands still.
      if (notes.journal().frozen === true) await thawGuest(vmId, parts, (on) => notes.frozen(on), ctx)
      await removeSnapshot(vmId, name, true, parts, notes, { ...ctx, signal: AbortSignal.timeout(UNDO_TIMEOUT_MS) })
    } catch (error) {
      ctx.log.warn({ vm: vmId, snapshot: name, err: errorText(error) }, 'a cleanup removes what is left of a snapshot')
      await operations.start<CleanupParams>(
        SNAPSHOT_KINDS.cleanup,
        { vmId, name, frozen: notes.journal().frozen === true },
        { subject: `vm ${vmId}`, locks: [vmLock(vmId)] },
      )
    }
    // From here on nothing is left, or the cleanup answers for it.
    await ctx.save({ begun: false }).catch((error: unknown) => {
      ctx.log.warn({ vm: vmId, snapshot: name, err: errorText(error) }, 'the end of an undo could not be recorded')
    })
  }

  /** True while the last that is known of the name is a creation, or a cleanup of one, that has not come to its end: what disks have under it is the VM's, and not a snapshot of a volume. */
  #hasRemains(vmId: string, name: string): boolean {
    const last = this.#options.operations.list().findLast(({ kind, state, params, journal }) => {
      const counts =
        kind === SNAPSHOT_KINDS.create
          ? state === 'completed' || (journal as Journal | undefined)?.begun === true
          : kind === SNAPSHOT_KINDS.cleanup || (kind === SNAPSHOT_KINDS.delete && state === 'completed')
      return counts && (params as Params).vmId === vmId && (params as Params).name === name
    })
    return last !== undefined && last.state !== 'completed'
  }

  #isBeingCleanedUp(vmId: string, name: string): boolean {
    return this.#options.operations.list(SNAPSHOT_KINDS.cleanup).some(({ state, params }) => {
      const of = params as Params
      return !isFinal(state) && of.vmId === vmId && of.name === name
    })
  }
}

type OpenNotes = SnapshotNotes & { journal(): Journal }

/** Notes in the journal of an operation, which go on from those of an earlier run. */
function notesIn(ctx: OperationContext<Journal>, initial: Journal = { begun: false }): OpenNotes {
  let journal = ctx.journal ?? initial
  const save = async (change: Partial<Journal>) => {
    journal = { ...journal, ...change }
    await ctx.save(journal)
  }
  return {
    journal: () => journal,
    get unfinished() {
      return journal.merge
    },
    planned: journal.plans,
    begin: () => save({ begun: true }),
    frozen: (frozen) => save({ frozen }),
    plan: (plans) => save({ begun: true, plans }),
    note: (merge) => save({ merge }),
  }
}

function different(vmId: string, name: string): AgentError {
  return new AgentError(
    'CONFLICT',
    `VM ${vmId} has another snapshot ${quote(name)}; use another name, or delete that one`,
  )
}
