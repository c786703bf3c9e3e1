import type { OpContext } from '../../core/context.ts'
import type { DiskSource, Volume } from '../../core/model.ts'
import type { OperationContext } from '../../operations/operation.ts'
import { holdSameBytes, imagePlace } from '../../storage/qemu-img.ts'
import type { MoveJournal, MoveNotes } from './move-journal.ts'
import type { MoveParts, MoveRequest } from './move-request.ts'
import { whereIs, type Whereabouts } from './where-is.ts'

/** The new volume as its pool has it, undefined when it has none; `unavailable` tells why that cannot be asked now. */
export type FoundVolume = Volume | { readonly unavailable: unknown } | undefined

const COMPARE_TIMEOUT_MS = 24 * 60 * 60_000

/** The volume that a disk is moved into, beside the one that it is moved from. */
export class NewDisk {
  readonly #vmId: string
  readonly #notes: MoveNotes
  readonly #parts: MoveParts
  readonly #ctx: OperationContext<MoveJournal>
  // Once found, and not looked at again.
  #differ = false

  constructor({ vmId }: MoveRequest, notes: MoveNotes, parts: MoveParts, ctx: OperationContext<MoveJournal>) {
    this.#vmId = vmId
    this.#notes = notes
    this.#parts = parts
    this.#ctx = ctx
  }

  /** Undefined when its pool has none. POOL_*. */
  async find(ctx: OpContext): Promise<Volume | undefined> {
    const { poolId, name } = this.#notes.now.plan.volume
    const { backend } = await this.#parts.deps.pools.require(poolId, ctx)
    return backend.getVolume(name, ctx)
  }

  /** Where it is, or was when that was last known. */
  placeOf(found: FoundVolume): DiskSource | undefined {
    return found === undefined || 'unavailable' in found ? this.#notes.now.copy : found.source
  }

  /** Which of the two the VM has. Errors: those of `whereIs`. */
  whereIs(found: FoundVolume, ctx: OpContext): Promise<Whereabouts> {
    const { plan, phase } = this.#notes.now
    const sameBytes = (copy: DiskSource) => this.#isSame(copy, found, ctx)
    return whereIs(this.#vmId, plan, { copy: this.placeOf(found), phase, sameBytes }, this.#parts, ctx)
  }

  // Takes as long as reading both, whatever deadline the step has.
  async #isSame(copy: DiskSource, found: FoundVolume, step: OpContext): Promise<boolean> {
    if (this.#differ) return false
    // Somebody has deleted it: there is nothing to choose from.
    if (found === undefined) return true
    if ('unavailable' in found) throw found.unavailable
    const patience = AbortSignal.timeout(COMPARE_TIMEOUT_MS)
    const signal = step === this.#ctx ? AbortSignal.any([step.signal, patience]) : patience
    const ctx = { ...step, signal }
    this.#ctx.progress({ phase: 'comparing' })
    const at = (source: DiskSource) => ({ place: imagePlace(source), format: source.format })
    const isSame = await holdSameBytes(at(this.#notes.now.plan.source), at(copy), COMPARE_TIMEOUT_MS, ctx)
    this.#differ = !isSame
    return isSame
  }
}
