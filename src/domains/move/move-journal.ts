import { isDeepStrictEqual } from 'node:util'
import { errorText } from '../../core/errors.ts'
import type { DiskSource } from '../../core/model.ts'
import type { OperationContext } from '../../operations/operation.ts'
import type { MovePlan } from './plan-move.ts'
import type { MovePhase } from './where-is.ts'

/** What is persisted of a move. */
export interface MoveJournal {
  readonly plan: MovePlan
  readonly phase: MovePhase
  /** What is copied into; absent before. */
  readonly copy?: DiskSource
  /** It was cancelled or has failed: a restart ends it instead of going on. */
  readonly unwanted?: boolean
}

/** The journal of a move while it runs. */
export class MoveNotes {
  readonly #vmId: string
  readonly #ctx: OperationContext<MoveJournal>
  #now: MoveJournal

  constructor(vmId: string, journal: MoveJournal, ctx: OperationContext<MoveJournal>) {
    this.#vmId = vmId
    this.#now = journal
    this.#ctx = ctx
  }

  /** What it says now. */
  get now(): MoveJournal {
    return this.#now
  }

  /** Writes a change down: on disk when the promise resolves. Errors: those of the state directory. */
  async save(change: Partial<MoveJournal>): Promise<void> {
    const next = { ...this.#now, ...change }
    if (isDeepStrictEqual(next, this.#now)) return
    this.#now = next
    await this.#ctx.save(next)
  }

  /** `save` where what has to be done now is done without the note too: a failure is in the log. */
  async saveSafely(change: Partial<MoveJournal>): Promise<void> {
    await this.save(change).catch((error: unknown) => {
      this.#ctx.log.error({ vm: this.#vmId, ...change, err: errorText(error) }, 'how far a move is cannot be noted')
    })
  }
}
