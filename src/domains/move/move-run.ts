import type { OperationManager } from '../../operations/manager.ts'
import type { OperationContext } from '../../operations/operation.ts'
import type { DomainInventory } from '../inventory.ts'
import type { MoveJournal, MoveNotes } from './move-journal.ts'
import type { MoveParts, MoveRequest } from './move-request.ts'
import type { NewDisk } from './new-disk.ts'

/** What moves are made with. */
export interface MoveOptions {
  readonly parts: MoveParts
  readonly operations: OperationManager
  readonly inventory: DomainInventory
  /** For crash tests. */
  readonly afterStep?: (name: string) => void
}

/** What the steps of one run of a move share. */
export interface MoveRun {
  readonly request: MoveRequest
  readonly options: MoveOptions
  readonly notes: MoveNotes
  readonly copy: NewDisk
  /** Of the whole run; a step may have one with a deadline of its own. */
  readonly ctx: OperationContext<MoveJournal>
}

/** A step may take so long until it is tried again, in milliseconds. */
export const STEP_TIMEOUT_MS = 120_000
