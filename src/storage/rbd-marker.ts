import { randomUUID } from 'node:crypto'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { delay } from '../platform/clock.ts'
import type { ActivationRequest } from './backend.ts'
import { parseMarker, type PoolMarker } from './pool-marker.ts'
import { placeText, type RbdPlace } from './rbd-name.ts'
import type { RbdObjects } from './rbd-objects.ts'

/** Object that proves which pool a Ceph pool or namespace is; notes about unfinished work are on it too. */
export const MARKER_OBJECT = 'limiquantix.pool'
const LOCK = 'marker'
const LOCK_RETRY_MS = 500

/** The mark of a pool in its Ceph pool or namespace, where all hosts of the pool find it. */
export class RbdMarker {
  readonly #objects: RbdObjects
  readonly #place: string
  readonly #poolId: string
  #generation: string | undefined

  constructor(objects: RbdObjects, place: RbdPlace, poolId: string) {
    this.#objects = objects
    this.#place = placeText(place)
    this.#poolId = poolId
  }

  /** Generation of the claimed pool; undefined before `claim` and after `leave`. */
  get generation(): string | undefined {
    return this.#generation
  }

  /** Takes the place as this pool: `initialise` marks it if it has no mark, `resume` wants the one that was there. POOL_IDENTITY_MISMATCH. */
  async claim(request: ActivationRequest, ctx: OpContext): Promise<string> {
    let marker = await this.#read(ctx.signal)
    if (marker === undefined && request.mode === 'initialise') marker = await this.#write(ctx)
    const { generation } = this.#checked(marker, request.mode === 'resume' ? request.generation : undefined)
    this.#generation = generation
    return generation
  }

  /** Throws POOL_UNAVAILABLE before `claim`, POOL_IDENTITY_MISMATCH when the mark is gone or another one. */
  async check(signal: AbortSignal, timeoutMs?: number): Promise<void> {
    if (this.#generation === undefined) throw this.#inactive()
    this.#checked(await this.#read(signal, timeoutMs), this.#generation)
  }

  /** Forgets the claim; true when there was one. */
  leave(): boolean {
    const was = this.#generation !== undefined
    this.#generation = undefined
    return was
  }

  async #read(signal: AbortSignal, timeoutMs?: number): Promise<PoolMarker | undefined> {
    const text = await this.#objects.read(MARKER_OBJECT, signal, timeoutMs)
    // A lock or a note makes the object before it has content.
    if (text === undefined || text === '') return undefined
    const marker = parseMarker(text)
    if (marker !== undefined) return marker
    throw new AgentError(
      'POOL_IDENTITY_MISMATCH',
      `the object ${MARKER_OBJECT} in RBD pool ${this.#place} is not a mark of this agent; look at it`,
    )
  }

  // Two hosts that begin at once must not both believe to be first.
  async #write(ctx: OpContext): Promise<PoolMarker> {
    while (!(await this.#objects.lock(MARKER_OBJECT, LOCK, ctx.signal))) await delay(LOCK_RETRY_MS, ctx.signal)
    const other = await this.#read(ctx.signal)
    if (other !== undefined) return other
    const marker: PoolMarker = {
      version: 1,
      poolId: this.#poolId,
      generation: randomUUID(),
      kind: 'CEPH_RBD',
      madeDirectory: false,
    }
    await this.#objects.write(MARKER_OBJECT, `${JSON.stringify(marker)}\n`, ctx.signal)
    return marker
  }

  #checked(marker: PoolMarker | undefined, generation: string | undefined): PoolMarker {
    if (marker === undefined) {
      throw new AgentError(
        'POOL_IDENTITY_MISMATCH',
        `RBD pool ${this.#place} has no mark of pool ${this.#poolId}: it is not the one that was initialised`,
      )
    }
    if (marker.poolId !== this.#poolId) {
      throw new AgentError(
        'POOL_IDENTITY_MISMATCH',
        `RBD pool ${this.#place} belongs to pool ${marker.poolId}, not to ${this.#poolId}; use another pool or namespace`,
      )
    }
    if (generation !== undefined && marker.generation !== generation) {
      throw new AgentError(
        'POOL_IDENTITY_MISMATCH',
        `RBD pool ${this.#place} was initialised anew for pool ${this.#poolId}, it is not the one known here`,
      )
    }
    return marker
  }

  #inactive(): AgentError {
    return new AgentError('POOL_UNAVAILABLE', `pool ${this.#poolId} is not active`)
  }
}
