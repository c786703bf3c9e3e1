import { withDeadline, type OpContext } from '../core/context.ts'
import { toAgentError } from '../core/errors.ts'
import type { PoolConfig } from '../core/model.ts'
import type { Activation, ActivationRequest, PoolBackend } from './backend.ts'
import type { ActivePool } from './pool-access.ts'
import type { PoolGuard } from './pool-guard.ts'
import { CERTAIN_REASONS } from './probe-result.ts'

/** What is kept of a pool in the state store (0600: options may hold secrets). */
export interface PoolRecord {
  readonly config: PoolConfig
  /** Generation of the marker, or what stands for one, at its initialisation; absent for pools without. */
  readonly generation?: string
  /** Found on the host without a configuration: the next initialisation completes it. */
  readonly discovered?: true
  /** Found at a place that proves it, but without a marker: the next activation writes one. */
  readonly unmarked?: true
}

/** Of all steps of an activation together, on a slow host too; what may hang has a shorter deadline of its own. */
const ACTIVATION_TIMEOUT_MS = 120_000

/** One pool that is known, in use or not. Whoever changes it holds the lock of the pool. */
export class PoolEntry {
  readonly backend: PoolBackend
  #record: PoolRecord
  #active = false
  #guard: PoolGuard | undefined

  constructor(backend: PoolBackend, record: PoolRecord) {
    this.backend = backend
    this.#record = record
  }

  /** To be kept; with the generation from the activation on. */
  get record(): PoolRecord {
    return this.#record
  }

  /** False when it was not activated yet, or its storage is gone for certain. */
  get active(): boolean {
    return this.#active
  }

  /** For those who work with its volumes and files. */
  get pool(): ActivePool {
    const { backend } = this
    return { config: backend.config, backend, ...(this.#guard === undefined ? {} : { guard: this.#guard }) }
  }

  /** Its first activation, or one after which nothing of the record counts any more. Errors of PoolBackend.activate. */
  async initialise(ctx: OpContext): Promise<void> {
    await this.#activate({ mode: 'initialise' }, ctx)
  }

  /** Takes it up again as it was. Errors of PoolBackend.activate; after one that is certain it is not active. */
  async resume(ctx: OpContext): Promise<void> {
    const { generation, unmarked } = this.#record
    const known = { mode: 'resume', ...(generation === undefined ? {} : { generation }) } as const
    try {
      await this.#activate(unmarked === true ? { mode: 'initialise' } : known, ctx)
    } catch (error) {
      if (CERTAIN_REASONS.includes(toAgentError(error).reason)) this.#active = false
      throw error
    }
  }

  /** Its storage is gone for certain: the next use activates it again. */
  lose(): void {
    this.#active = false
  }

  /** Takes it out of use. Errors of PoolBackend.deactivate. */
  async deactivate(ctx: OpContext): Promise<void> {
    this.#active = false
    await this.backend.deactivate(ctx)
  }

  async #activate(request: ActivationRequest, ctx: OpContext): Promise<void> {
    const made: Activation = await this.backend.activate(request, withDeadline(ctx, ACTIVATION_TIMEOUT_MS))
    this.#active = true
    this.#guard = made.guard
    const generation = made.guard?.generation ?? made.generation ?? this.#record.generation
    const { config } = this.backend
    const { discovered } = this.#record
    this.#record = {
      config,
      ...(generation === undefined ? {} : { generation }),
      ...(discovered === undefined ? {} : { discovered }),
    }
  }
}

/** A context for undoing an activation, which goes on when the caller is gone. */
export function detached(ctx: OpContext): OpContext {
  return { ...ctx, signal: AbortSignal.timeout(ACTIVATION_TIMEOUT_MS) }
}
