import { AgentError } from '../../core/errors.ts'
import {
  isFinal,
  type OperationContext,
  type OperationHandler,
  type OperationRecord,
} from '../../operations/operation.ts'
import type { PoolUserSource } from '../../storage/pool-access.ts'
import { readHalves } from '../domain-halves.ts'
import { vmLock } from '../power.ts'
import type { MovedDisk } from './finish-move.ts'
import { runMove } from './run-move.ts'
import type { MoveJournal } from './move-journal.ts'
import type { MoveRequest } from './move-request.ts'
import type { MoveOptions } from './move-run.ts'
import { movedDisk, planMove } from './plan-move.ts'

/** Kind of the operation in the journal. */
export const MOVE_DISK_KIND = 'vm.move-disk'

/**
 * Moves disks of VMs from one pool to another, under a running guest too, as journaled operations: at any instant the VM has exactly one of the two volumes, which can be told, and the other one goes. Registers its operation kind when
 * constructed.
 */
export class DiskMover {
  readonly #options: MoveOptions

  constructor(options: MoveOptions) {
    this.#options = options
    options.operations.register(this.#handler())
  }

  /** Starts a move of a disk, named by id or name in the domain. Returns the operation, whose result is a MovedDisk. Errors: those of `planMove`; CONFLICT while the disk is moved to another pool. */
  async move(request: MoveRequest, signal: AbortSignal): Promise<OperationRecord> {
    const { operations, parts } = this.#options
    const { vmId, poolId } = request
    const disk = movedDisk(await readHalves(parts.client, vmId, signal), request.diskId)
    const params: MoveRequest = { ...request, diskId: disk.id }
    // What can be said at once is said without an operation.
    const dedupeKey = `${MOVE_DISK_KIND}:${vmId}:${disk.id}`
    const twin = operations.list(MOVE_DISK_KIND).find((one) => one.dedupeKey === dedupeKey && !isFinal(one.state))
    if (twin === undefined) await planMove(params, parts, { signal, log: parts.log })
    const record = await operations.start(MOVE_DISK_KIND, params, {
      subject: `vm ${vmId}`,
      dedupeKey,
      locks: [vmLock(vmId)],
    })
    const going = (record.params as MoveRequest).poolId
    if (going === poolId) return record
    throw new AgentError(
      'CONFLICT',
      `disk ${disk.id} of VM ${vmId} is on its way to pool ${going}; cancel job ${record.id} first`,
    )
  }

  /** Keeps both pools of a move from being destroyed. */
  readonly users: PoolUserSource = (pool) => {
    const moves = this.#options.operations.list(MOVE_DISK_KIND).filter(({ state }) => !isFinal(state))
    const used = moves.filter(({ params, journal }) => {
      const { poolId } = params as MoveRequest
      const leaves = (journal as MoveJournal | undefined)?.plan.leaves
      return [poolId, leaves?.poolId].includes(pool.config.poolId)
    })
    const name = ({ vmId, diskId }: MoveRequest) => `the move of disk ${diskId} of VM ${vmId}`
    return Promise.resolve(used.map(({ params }) => ({ name: name(params as MoveRequest) })))
  }

  #handler(): OperationHandler<MoveRequest, MovedDisk, MoveJournal> {
    return {
      kind: MOVE_DISK_KIND,
      onRestart: 'resume',
      onShutdown: 'interrupt',
      retry: (params) => params,
      run: async (request, ctx) => {
        const { parts, afterStep } = this.#options
        let journal = ctx.journal
        // From the journal on only runMove ends a move: a cancellation has to be carried out, not only to be answered.
        if (journal === undefined) {
          await parts.client.ready(ctx.signal)
          const plan = await planMove(request, parts, ctx)
          if (plan === undefined) return { poolId: request.poolId, volume: await this.#volumeOf(request, ctx) }
          journal = { plan, phase: 'copying' }
          await ctx.save(journal)
          afterStep?.('planned')
        }
        return runMove(request, journal, this.#options, ctx)
      },
    }
  }

  async #volumeOf({ vmId, diskId }: MoveRequest, ctx: OperationContext<MoveJournal>): Promise<string> {
    return movedDisk(await readHalves(this.#options.parts.client, vmId, ctx.signal), diskId).volume
  }
}
