import { relative } from 'node:path'
import { isDeepStrictEqual } from 'node:util'
import { withDeadline, type OpContext } from '../core/context.ts'
import { GIB } from '../core/bytes.ts'
import { AgentError, errorText, isAgentError, toAgentError } from '../core/errors.ts'
import { parseId, quote } from '../core/ids.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import type { PoolConfig, PoolInfo } from '../core/model.ts'
import { Reverter } from '../core/reverter.ts'
import { isInside } from '../platform/files.ts'
import type { StateCollection } from '../platform/state-store.ts'
import type { DiscoveredPool, PoolBackend, PoolBackendFactory, ProbeResult } from './backend.ts'
import type { StorageEnvironment } from './environment.ts'
import { HealthMonitor } from './health-monitor.ts'
import { LostPools } from './lost-pools.ts'
import type { ActivePool, PoolAccess, PoolPlace, PoolUser, PoolUserSource } from './pool-access.ts'
import { readAlias } from './pool-alias.ts'
import { detached, PoolEntry, type PoolRecord } from './pool-entry.ts'
import { PoolUsers } from './pool-users.ts'
import { CERTAIN_REASONS, unreachable } from './probe-result.ts'
import { Reservations } from './reservations.ts'

export interface PoolManagerOptions {
  readonly factories: readonly PoolBackendFactory[]
  readonly environment: StorageEnvironment
  /** Collection `pools` of the state store. */
  readonly store: StateCollection<PoolRecord>
  /** Default 10 s. */
  readonly probePeriodMs?: number
  /** Places (placeOf) of the disks and media of all domains, as soon as they are known. Rejects when `signal` fires before. */
  readonly guestPlaces?: (signal: AbortSignal) => Promise<readonly string[]>
}

/** So much is not filled behind the agent's back between two looks. */
const PLENTY_BYTES = 16 * GIB
/** How long a destruction waits for storage that nobody has looked at yet. */
const FIRST_LOOK_MS = 10_000

/**
 * All pools of this host: initialise, destroy, find again, watch. One pool's trouble never delays another: everything is locked, watched and worked on per
 * pool. Reading methods answer from memory.
 */
export class PoolManager implements PoolAccess {
  readonly #factories: readonly PoolBackendFactory[]
  readonly #environment: StorageEnvironment
  readonly #store: StateCollection<PoolRecord>
  readonly #entries = new Map<string, PoolEntry>()
  readonly #locks = new KeyedLock()
  readonly #reservations = new Reservations()
  readonly #users: PoolUsers
  readonly #monitor: HealthMonitor
  readonly #stopping = new AbortController()
  readonly #lost: LostPools
  readonly #listeners = new Set<() => void>()
  #found: Promise<void> = Promise.resolve()

  constructor(options: PoolManagerOptions) {
    this.#factories = options.factories
    this.#environment = options.environment
    this.#store = options.store
    this.#lost = new LostPools({
      factories: options.factories,
      environment: options.environment,
      guestPlaces: options.guestPlaces ?? (() => Promise.resolve([])),
      knownRoots: () => [...this.#entries.values()].map(({ backend }) => backend.mountPath),
      takeUp: (found, ctx) => this.#takeUp(found, ctx),
    })
    this.#users = new PoolUsers(this.#reservations, options.environment.io)
    this.#monitor = new HealthMonitor({
      periodMs: options.probePeriodMs ?? 10_000,
      look: (poolId, signal) => this.#look(poolId, signal),
      log: options.environment.log,
    })
    this.#monitor.onChange(() => this.#changed())
  }

  /** Loads the recorded pools and begins to activate them in the background: readiness depends on none of them. */
  async start(): Promise<void> {
    for (const [poolId, record] of await this.#store.entries()) {
      try {
        this.#entries.set(poolId, new PoolEntry(this.#backendOf(record.config), record))
        this.#monitor.watch(poolId)
      } catch (error) {
        this.#environment.log.error({ pool: poolId, err: errorText(error) }, 'a recorded pool cannot be used')
      }
    }
    this.#found = this.#lost.takeUpAll({ signal: this.#stopping.signal, log: this.#environment.log })
  }

  /** Resolves when lost pools were searched for and each pool known then was looked at once, at the latest when `signal` fires (then it rejects with its reason). */
  async observedOnce(signal: AbortSignal): Promise<void> {
    const { promise, reject } = Promise.withResolvers<never>()
    signal.addEventListener('abort', () => reject(signal.reason as Error), { once: true })
    await Promise.race([this.#found.then(() => this.#monitor.observedOnce()), promise])
  }

  /** Stops watching. Pools stay as they are: mounted, with their guests. The helpers end with `StorageIo.close`. */
  stop(): void {
    this.#stopping.abort(new AgentError('SHUTTING_DOWN', 'the agent is stopping'))
    this.#monitor.stop()
  }

  /**
   * Makes a pool known and usable; the same again is success. Errors: POOL_TYPE_UNSUPPORTED, POOL_CONFIG_INVALID, POOL_CONFIG_CHANGED, POOL_PATH_CONFLICT,
   * POOL_PATH_MISSING and POOL_IDENTITY_MISMATCH (for a known pool whose storage is gone), those of the backend.
   */
  async init(config: PoolConfig, ctx: OpContext): Promise<PoolInfo> {
    const poolId = parseId(config.poolId, 'pool_id')
    const backend = this.#backendOf(config)
    return this.#locks.run(poolId, ctx.signal, async () => {
      const known = this.#entries.get(poolId)
      if (known === undefined || known.record.discovered === true) await this.#initialise(backend, ctx)
      else await this.#initAgain(known, backend, ctx)
      return this.#info(poolId)
    })
  }

  /** Takes a pool out of use and forgets it; data stays. POOL_IN_USE names the users, POOL_NOT_FOUND. */
  async destroy(poolId: string, ctx: OpContext): Promise<void> {
    await this.#find(poolId, ctx)
    await this.#locks.run(poolId, ctx.signal, async () => {
      const entry = this.#entries.get(poolId)
      if (entry === undefined) throw notFound(poolId)
      await this.#users.refuseInUse(entry.pool, ctx)
      if (!entry.active && this.#monitor.observation(poolId).health === 'UNKNOWN') {
        // Nobody has looked at it since the start: what marks its storage as taken would stay behind.
        await this.#quietly(entry, 'first look', () => entry.resume(withDeadline(ctx, FIRST_LOOK_MS)))
      }
      // Nothing looks at the pool from here on: an open file of a probe would keep it busy.
      this.#monitor.unwatch(poolId)
      try {
        await this.#quietly(entry, 'retire', async () => {
          if (entry.active) await entry.backend.retire?.(ctx)
        })
        await entry.deactivate(ctx)
        await this.#store.delete(poolId)
        this.#entries.delete(poolId)
      } catch (error) {
        this.#monitor.watch(poolId)
        throw error
      }
      this.#changed()
    })
  }

  /** A pool with its last observation, after discovery when it is unknown. POOL_NOT_FOUND. */
  async info(poolId: string, ctx: OpContext): Promise<PoolInfo> {
    await this.#find(poolId, ctx)
    return this.#info(poolId)
  }

  /** All known pools with their last observations; from memory. */
  list(): PoolInfo[] {
    return [...this.#entries.keys()].sort().map((poolId) => this.#info(poolId))
  }

  async require(poolId: string, ctx: OpContext): Promise<ActivePool> {
    const entry = await this.#find(poolId, ctx)
    if (!entry.active) {
      await this.#activate(poolId, entry, ctx).catch((error: unknown) => {
        ctx.signal.throwIfAborted()
        if (isAgentError(error, 'POOL_NOT_FOUND')) throw error
        throw unavailable(poolId, toAgentError(error).reason, errorText(error))
      })
    }
    const { health, reason, message } = this.#monitor.observation(poolId)
    if (health === 'ERROR' || health === 'UNMOUNTED') throw unavailable(poolId, reason, message)
    return entry.pool
  }

  active(): ActivePool[] {
    return [...this.#entries.values()].flatMap((entry) => (entry.active ? [entry.pool] : []))
  }

  findByPath(path: string): ActivePool | undefined {
    const holders = [...this.#entries.values()].filter(
      ({ active, backend }) => active && backend.mountPath !== '' && isInside(backend.mountPath, path),
    )
    const entry = holders[0]
    return entry === undefined ? undefined : entry.pool
  }

  findByPlace(place: string, monitors?: readonly string[]): ActivePool | undefined {
    const { holders, isSure } = this.#holdersOf(place, monitors)
    return isSure ? holders.find(({ active }) => active)?.pool : undefined
  }

  holderOf(place: string, monitors?: readonly string[]): PoolBackend | undefined {
    const { holders } = this.#holdersOf(place, monitors)
    return (holders.find(({ active }) => active) ?? holders[0])?.backend
  }

  // Monitors get other names (an address becomes a host name), and what was defined before keeps the old ones. They tell clusters apart where one is known by them; else the name of the pool counts, where only one has it.
  #holdersOf(place: string, monitors?: readonly string[]) {
    const entries = [...this.#entries.values()]
    const holders = entries.filter(({ backend }) => backend.holds(place, monitors))
    if (holders.length > 0) return { holders, isSure: true }
    const named = entries.filter(({ backend }) => backend.holds(place))
    return { holders: named, isSure: named.length <= 1 }
  }

  async locate(path: string, ctx: OpContext): Promise<PoolPlace | undefined> {
    const holder = this.findByPath(path)
    if (holder !== undefined) return { pool: holder, relative: relative(holder.backend.mountPath, path) }
    const alias = readAlias(this.#environment.paths.aliases, path)
    if (alias === undefined) return undefined
    return { pool: await this.require(alias.poolId, ctx), relative: alias.relative }
  }

  async reserve(poolId: string, bytes: number, ctx: OpContext, purpose = 'a job'): Promise<{ release(): void }> {
    const { backend } = await this.require(poolId, ctx)
    const last = this.#monitor.observation(poolId)
    // While there is plenty, the numbers of the last look will do: a fresh one costs some types a second.
    if (
      last.health === 'HEALTHY' &&
      last.availableBytes - this.#reservations.reservedBytes(poolId) - bytes >= PLENTY_BYTES
    ) {
      return this.#reservations.take(poolId, bytes, last.availableBytes, purpose)
    }
    const probe = await backend.probe(ctx)
    ctx.signal.throwIfAborted()
    if (probe.health === 'ERROR' || probe.health === 'UNMOUNTED') throw unavailable(poolId, probe.reason, probe.message)
    return this.#reservations.take(poolId, bytes, probe.availableBytes, purpose)
  }

  /** Calls `listener` when the health of a pool has changed or a pool was destroyed; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  addUserSource(source: PoolUserSource, kind: 'user' | 'contents' = 'user'): void {
    this.#users.add(source, kind)
  }

  /** Who uses a pool, processes aside (pool-users.ts). */
  async users(pool: ActivePool, ctx: OpContext): Promise<PoolUser[]> {
    return this.#users.of(pool, ctx)
  }

  #backendOf(config: PoolConfig): PoolBackend {
    const factory = this.#factories.find(({ kind }) => kind === config.kind)
    if (factory !== undefined) return factory.create(config)
    const kinds = this.#factories.map(({ kind }) => kind).join(', ')
    throw new AgentError(
      'POOL_TYPE_UNSUPPORTED',
      `pool type ${quote(String(config.kind))} is not supported; use one of ${kinds}`,
    )
  }

  async #initialise(backend: PoolBackend, ctx: OpContext): Promise<void> {
    const { poolId } = backend.config
    this.#refuseOverlap(backend)
    const reverter = new Reverter(ctx.log)
    const entry = new PoolEntry(backend, { config: backend.config })
    try {
      await entry.initialise(ctx)
      reverter.add('deactivate the pool', async () => void (await backend.deactivate(detached(ctx))))
      if (!this.#entries.has(poolId)) {
        reverter.add('remove the marker', async () => backend.retire?.(detached(ctx)))
      }
      const probe = await backend.probe(ctx)
      ctx.signal.throwIfAborted()
      if (probe.health === 'ERROR' || probe.health === 'UNMOUNTED') {
        throw unavailable(poolId, probe.reason, probe.message)
      }
      await this.#store.put(poolId, entry.record)
      reverter.commit()
      this.#entries.set(poolId, entry)
      this.#monitor.watch(poolId, probe)
    } catch (error) {
      await reverter.revert()
      throw error
    }
  }

  async #initAgain(entry: PoolEntry, backend: PoolBackend, ctx: OpContext): Promise<void> {
    const { poolId } = backend.config
    if (!isDeepStrictEqual(entry.backend.config, backend.config)) {
      throw new AgentError(
        'POOL_CONFIG_CHANGED',
        `pool ${poolId} is in use with another configuration; destroy it first or use another pool id`,
      )
    }
    await entry.resume(ctx)
    this.#monitor.record(poolId, await entry.backend.probe(ctx))
  }

  // The pool directories of different pools must not overlap, whether they are active or not.
  #refuseOverlap(backend: PoolBackend): void {
    const mine = backend.mountPath
    if (mine === '') return
    for (const [poolId, other] of this.#entries) {
      const theirs = other.backend.mountPath
      if (poolId === backend.config.poolId || theirs === '') continue
      if (isInside(mine, theirs) || isInside(theirs, mine)) {
        throw new AgentError(
          'POOL_PATH_CONFLICT',
          `${mine} overlaps pool ${poolId} at ${theirs}; give each pool its own directory`,
        )
      }
    }
  }

  async #activate(poolId: string, entry: PoolEntry, ctx: OpContext): Promise<void> {
    await this.#locks.run(poolId, ctx.signal, async () => {
      // Destroyed while this waited: taking it up again would leave a mount that nobody knows.
      if (this.#entries.get(poolId) !== entry) throw notFound(poolId)
      if (!entry.active) await entry.resume(ctx)
    })
  }

  async #find(poolId: string, ctx: OpContext): Promise<PoolEntry> {
    const known = this.#entries.get(poolId)
    if (known !== undefined) return known
    parseId(poolId, 'pool_id')
    return this.#locks.run(poolId, ctx.signal, async () => {
      const meanwhile = this.#entries.get(poolId)
      if (meanwhile !== undefined) return meanwhile
      const found = await this.#lost.find(poolId, ctx)
      if (found === undefined) throw notFound(poolId)
      return this.#adopt(found, ctx)
    })
  }

  async #takeUp(found: DiscoveredPool, ctx: OpContext): Promise<void> {
    const { poolId } = found.config
    await this.#locks.run(poolId, ctx.signal, async () => {
      if (!this.#entries.has(poolId)) await this.#adopt(found, ctx)
    })
  }

  async #adopt({ config, marked }: DiscoveredPool, ctx: OpContext): Promise<PoolEntry> {
    const backend = this.#backendOf(config)
    this.#refuseOverlap(backend)
    const found: PoolRecord = { config: backend.config, discovered: true }
    const entry = new PoolEntry(backend, marked ? found : { ...found, unmarked: true })
    await entry.resume(ctx)
    const probe = await backend.probe(ctx)
    await this.#store.put(config.poolId, entry.record)
    this.#entries.set(config.poolId, entry)
    this.#monitor.watch(config.poolId, probe)
    ctx.log.info({ pool: config.poolId, path: backend.mountPath }, 'found a pool again that had no record')
    return entry
  }

  // One look of the health monitor: activates what is not active, and takes a pool up again whose storage was away for a while.
  async #look(poolId: string, signal: AbortSignal): Promise<ProbeResult> {
    const entry = this.#entries.get(poolId)
    if (entry === undefined) return unreachable(notFound(poolId), 0)
    const ctx: OpContext = { signal, log: this.#environment.log }
    const probe = await this.#probed(poolId, entry, ctx)
    if (probe.reason === 'POOL_STALE') return this.#renew(poolId, entry, probe, ctx)
    if (!CERTAIN_REASONS.includes(probe.reason)) return probe
    entry.lose()
    return this.#probed(poolId, entry, ctx)
  }

  async #probed(poolId: string, entry: PoolEntry, ctx: OpContext): Promise<ProbeResult> {
    try {
      await this.#activate(poolId, entry, ctx)
      return await entry.backend.probe(ctx)
    } catch (error) {
      return unreachable(error, 0)
    }
  }

  // What the server forgot is mounted anew, but never under the feet of a guest, a job or a process.
  async #renew(poolId: string, entry: PoolEntry, probe: ProbeResult, ctx: OpContext): Promise<ProbeResult> {
    try {
      return await this.#locks.run(poolId, ctx.signal, async () => {
        await this.#users.refuseInUse(entry.pool, ctx)
        await entry.deactivate(ctx)
        await entry.resume(ctx)
        ctx.log.info({ pool: poolId }, 'a stale pool was taken up anew')
        return entry.backend.probe(ctx)
      })
    } catch (error) {
      return { ...probe, message: `${probe.message}; it is not taken up anew: ${errorText(error)}` }
    }
  }

  async #quietly(entry: PoolEntry, step: string, work: () => Promise<void>): Promise<void> {
    try {
      await work()
    } catch (error) {
      const { poolId } = entry.record.config
      this.#environment.log.warn(
        { pool: poolId, step, err: errorText(error) },
        'traces of a destroyed pool stay behind',
      )
    }
  }

  #changed(): void {
    for (const listener of [...this.#listeners]) listener()
  }

  #info(poolId: string): PoolInfo {
    const entry = this.#entries.get(poolId)
    if (entry === undefined) throw notFound(poolId)
    const { config, mountPath, devicePath, rbdPool } = entry.backend
    const observation = this.#monitor.observation(poolId)
    return { config, mountPath, devicePath: devicePath ?? '', rbdPool: rbdPool ?? '', observation }
  }
}

function notFound(poolId: string): AgentError {
  return new AgentError('POOL_NOT_FOUND', `pool ${poolId} not found on this host; initialise it`)
}

function unavailable(poolId: string, reason: string, message: string): AgentError {
  const error = new AgentError('POOL_UNAVAILABLE', `pool ${poolId} is not available: ${message}`, {
    details: { reason },
  })
  return error
}
