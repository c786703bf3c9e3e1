import { z } from 'zod'
import type { Logger } from '../core/context.ts'
import { errorText, isAgentError } from '../core/errors.ts'
import { isId } from '../core/ids.ts'
import type { PoolConfig } from '../core/model.ts'
import type { ConnectClient } from '../platform/connect-client.ts'
import { backoffMs } from './backoff.ts'
import type { HeartbeatAnswer, MissingPool } from './heartbeat.ts'
import { offeredConfig, offeredPool } from './offered-pool.ts'
import type { Pace } from './pace.ts'

/** What is needed of the pool manager to get a pool back. */
export interface PoolRecovery {
  /** Ids of the pools this host has. */
  known(): readonly string[]
  /** Looks for the pool on this host; POOL_NOT_FOUND when nothing proves it. */
  find(poolId: string, signal: AbortSignal): Promise<void>
  init(config: PoolConfig, signal: AbortSignal): Promise<void>
}

export interface AssignedPoolsOptions {
  readonly client: ConnectClient
  readonly pools: PoolRecovery
  readonly pace: Pace
  readonly log: Logger
}

const POOL_SERVICE = 'limiquantix.storage.v1.StoragePoolService'
const ASK_TIMEOUT_MS = 10_000
/** The control plane dials this host, asks it for files and initialises the pool before it answers. */
const PUSH_TIMEOUT_MS = 60_000
const FIND_TIMEOUT_MS = 20_000
/** Attempts grow apart from half a minute (the first ones at once and at the next beat) to ten minutes. */
const ATTEMPT_UNIT = 30

interface Missing {
  message: string
  attempts: number
  nextAtMs: number
}

/**
 * Compares what the control plane assigned to this host with what is there, and gets back what is missing in the order of contract 3.5: discovery on the host, a configuration
 * in GetPool where a control plane gives one, then a push that ListPoolFiles provokes, which goes to the first host the pool is assigned to, then one by ReconnectPool, which
 * goes to any. What stays away is reported as unmounted, with a text. Nothing is ever unmounted because it is not in a list. Driven by heartbeat answers; one search at a time.
 */
export class AssignedPools {
  readonly #options: AssignedPoolsOptions
  readonly #missing = new Map<string, Missing>()
  readonly #stopping = new AbortController()
  #searching: Promise<void> | undefined

  constructor(options: AssignedPoolsOptions) {
    this.#options = options
  }

  /** Takes an answer to a heartbeat; returns at once. */
  update({ assignedPoolIds, nodeId }: HeartbeatAnswer): void {
    const known = new Set(this.#options.pools.known())
    const wanted = new Set(assignedPoolIds.filter((poolId) => isId(poolId) && !known.has(poolId)))
    for (const poolId of this.#missing.keys()) if (!wanted.has(poolId)) this.#missing.delete(poolId)
    for (const poolId of wanted) {
      if (!this.#missing.has(poolId)) this.#missing.set(poolId, { message: notHere(poolId), attempts: 0, nextAtMs: 0 })
    }
    this.#searching ??= this.#search(nodeId).finally(() => (this.#searching = undefined))
  }

  /** Assigned pools that this host does not have, from memory. */
  missing(): MissingPool[] {
    const known = new Set(this.#options.pools.known())
    return [...this.#missing].flatMap(([poolId, { message }]) => (known.has(poolId) ? [] : [{ poolId, message }]))
  }

  /** Resolves when no search is under way. */
  async settled(): Promise<void> {
    await this.#searching
  }

  /** Ends the search that is under way, and waits for it. */
  async stop(): Promise<void> {
    this.#stopping.abort()
    await this.settled()
  }

  // Never rejects.
  async #search(nodeId: string): Promise<void> {
    const { pace, log, pools } = this.#options
    for (const [poolId, entry] of this.#missing) {
      if (this.#stopping.signal.aborted) return
      if (pace.now() < entry.nextAtMs || !this.#missing.has(poolId)) continue
      entry.attempts++
      try {
        await this.#recover(poolId, nodeId)
        if (pools.known().includes(poolId)) {
          this.#missing.delete(poolId)
          log.info({ pool: poolId }, 'an assigned pool is back')
          continue
        }
        entry.message = notHere(poolId)
      } catch (error) {
        if (this.#stopping.signal.aborted) return
        entry.message = `pool ${poolId} could not be taken up again: ${errorText(error)}`
      }
      entry.nextAtMs = pace.now() + ATTEMPT_UNIT * Math.min(20_000, backoffMs(entry.attempts, pace.random()))
      log.warn({ pool: poolId, attempts: entry.attempts, err: entry.message }, 'an assigned pool is not on this host')
    }
  }

  async #recover(poolId: string, nodeId: string): Promise<void> {
    if (await this.#isHere(poolId)) return
    const config = await this.#ask('GetPool', { id: poolId }, offeredPool, ASK_TIMEOUT_MS)
    const offered = config === undefined ? undefined : offeredConfig(poolId, config, nodeId)
    if (offered !== undefined) return this.#options.pools.init(offered, this.#stopping.signal)
    // The answers do not matter: on the way to them the control plane sends the pool, to this host or to another one.
    await this.#ask('ListPoolFiles', { poolId, path: '' }, z.unknown(), PUSH_TIMEOUT_MS)
    if (this.#options.pools.known().includes(poolId)) return
    await this.#ask('ReconnectPool', { id: poolId }, z.unknown(), PUSH_TIMEOUT_MS)
  }

  // What the control plane cannot answer does not keep the next way from being tried.
  async #ask<T>(method: string, request: object, answer: z.ZodType<T>, timeoutMs: number): Promise<T | undefined> {
    const { client, log } = this.#options
    const { signal } = this.#stopping
    try {
      return await client.call(`${POOL_SERVICE}/${method}`, request, answer, { signal, timeoutMs })
    } catch (error) {
      signal.throwIfAborted()
      log.debug({ ...request, method, err: errorText(error) }, 'the control plane did not help with an assigned pool')
      return undefined
    }
  }

  async #isHere(poolId: string): Promise<boolean> {
    try {
      const deadline = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(FIND_TIMEOUT_MS)])
      await this.#options.pools.find(poolId, deadline)
      return true
    } catch (error) {
      if (isAgentError(error, 'POOL_NOT_FOUND')) return false
      throw error
    }
  }
}

function notHere(poolId: string): string {
  return `pool ${poolId} is assigned to this host, which has no configuration for it and finds no trace of it; reconnect the pool`
}
