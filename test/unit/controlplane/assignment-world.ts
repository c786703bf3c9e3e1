import { AssignedPools } from '../../../src/controlplane/assigned-pools.ts'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { errorText, isAgentError, toAgentError } from '../../../src/core/errors.ts'
import { isId } from '../../../src/core/ids.ts'
import type { PoolConfig, PoolKind } from '../../../src/core/model.ts'
import type { ConnectClient } from '../../../src/platform/connect-client.ts'
import type { PoolBackendFactory } from '../../../src/storage/backend.ts'
import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import type { PoolRecord } from '../../../src/storage/pool-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import type { StorageIo } from '../../../src/storage/storage-io.ts'
import { memoryPools, memoryStorage, type MemoryStorage } from '../../conformance/memory-pool.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { countsAsPoolReady } from '../../control-plane/substring-rules.ts'
import { onTheWire } from '../../control-plane/wire-error.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'
import { FakePace } from './fake-pace.ts'

/** Where a pool's data is, and what type the control plane calls it. */
export interface Place {
  readonly kind: PoolKind
  readonly storage: string
}

interface Wanted {
  readonly config: PoolConfig
  assigned: boolean
  /** Assigned to another host too, which is asked first. */
  shared: boolean
}

const KINDS: readonly PoolKind[] = ['LOCAL_LVM', 'NFS']
export const STORAGES: readonly string[] = ['s0', 's1', 's2']
const NODE = 'node-1'
/** Eleven minutes of them. */
const MOST_BEATS = 22

/**
 * A host with its storage, an agent on it (the real pool manager and assignment logic over pools in memory) and a control plane that assigns, pushes, forgets and changes its
 * mind. Watches what must never happen: `broken` says what did.
 */
export class AssignmentWorld {
  readonly broken: string[] = []
  readonly #ctx: OpContext = { signal: new AbortController().signal, log: silentLogger }
  readonly #storages = new Map(STORAGES.map((name) => [name, memoryStorage()]))
  /** Ids of the pools that are mounted; like a kernel's table it outlives the agent. */
  readonly #mounted = new Set<string>()
  /** VMs by pool: they outlive the agent too. */
  readonly #guests = new Map<string, number>()
  /** What the control plane remembers. */
  readonly #wanted = new Map<string, Wanted>()
  readonly #environment: StorageEnvironment
  readonly #records = memoryCollection<PoolRecord>()
  readonly #pace = new FakePace()
  #jobs: { readonly poolId: string; release(): void }[] = []
  /** The pool that is being destroyed or whose first initialisation may be undone. */
  #mayUnmount: string | undefined
  #pools!: PoolManager
  #assigned!: AssignedPools

  constructor(io: StorageIo) {
    const mounter = { list: () => Promise.resolve([]) } as unknown as StorageEnvironment['mounter']
    this.#environment = storageEnvironment('/nowhere', { io, mounter })
    for (const [name, storage] of this.#storages) void storage.foreign.add(`data of ${name}`)
  }

  /** The agent starts; a second time it is a restart after a kill: what only it knew is gone. */
  async start(): Promise<void> {
    await this.stop()
    const pools = new PoolManager({
      factories: KINDS.map((kind) => this.#watched(kind)),
      environment: this.#environment,
      store: this.#records,
    })
    pools.addUserSource(({ config }) =>
      Promise.resolve(Array.from({ length: this.#guests.get(config.poolId) ?? 0 }, (_, n) => ({ name: `VM ${n}` }))),
    )
    this.#pools = pools
    this.#assigned = new AssignedPools({
      client: this.#controlPlane(),
      pace: this.#pace,
      log: silentLogger,
      pools: {
        known: () => pools.list().map(({ config }) => config.poolId),
        find: async (poolId) => void (await pools.info(poolId, this.#ctx)),
        init: async (config) => void (await pools.init(config, this.#ctx)),
      },
    })
    const before = (await this.#records.entries()).map(([poolId]) => poolId)
    await pools.start()
    this.#expectKnown(before, 'a restart')
  }

  async stop(): Promise<void> {
    await (this.#assigned as AssignedPools | undefined)?.stop()
    ;(this.#pools as PoolManager | undefined)?.stop()
    this.#jobs = []
  }

  /** CreatePool, or another pool under an id that was used before. */
  want(poolId: string, place: Place, assigned: boolean): void {
    const config = { poolId, kind: place.kind, options: { storage: place.storage } }
    this.#wanted.set(poolId, { config, assigned, shared: false })
  }

  assign(poolId: string, assigned: boolean): void {
    const wanted = this.#wanted.get(poolId)
    if (wanted !== undefined) wanted.assigned = assigned
  }

  /** Another host gets the pool assigned too. */
  share(poolId: string): void {
    const wanted = this.#wanted.get(poolId)
    if (wanted !== undefined) wanted.shared = true
  }

  /** DeletePool: the node is not told. */
  forget(poolId: string): void {
    this.#wanted.delete(poolId)
  }

  forgetEverything(): void {
    this.#wanted.clear()
  }

  /** InitStoragePool, as on a new connection. */
  async push(poolId: string): Promise<void> {
    const wanted = this.#wanted.get(poolId)
    if (wanted === undefined) return
    const known = this.#known()
    await this.#init(wanted.config)
    this.#expectKnown(known, `a push of ${poolId}`)
  }

  /** A heartbeat and its answer, which may be short, reordered or hold what is no pool at all. */
  async beat(mangle: (ids: string[]) => string[] = (ids) => ids): Promise<void> {
    const ids = [...this.#wanted].filter(([, { assigned }]) => assigned).map(([poolId]) => poolId)
    const assignedPoolIds = mangle(ids)
    const known = this.#known()
    const answer = { nodeId: NODE, intervalSeconds: 30, requestFullSync: false, serverTimeUnix: 0 }
    this.#assigned.update({ ...answer, assignedPoolIds })
    await this.#assigned.settled()
    this.#pace.advance(30_000)
    this.#expectKnown(known, 'a heartbeat')
    const told = new Set([...this.#known(), ...this.#assigned.missing().map(({ poolId }) => poolId)])
    for (const id of assignedPoolIds) {
      if (isId(id) && !told.has(id)) this.broken.push(`pool ${id} is assigned and not in the heartbeat`)
    }
  }

  /** A guest begins to use the pool. */
  useByGuest(poolId: string): void {
    if (this.#mounted.has(poolId)) this.#guests.set(poolId, (this.#guests.get(poolId) ?? 0) + 1)
  }

  async useByJob(poolId: string): Promise<void> {
    const space = await this.#pools.reserve(poolId, 1, this.#ctx, 'a download').catch((error: unknown) => {
      if (!isAgentError(error)) throw error
    })
    if (space !== undefined) this.#jobs.push({ poolId, release: () => space.release() })
  }

  release(poolId: string): void {
    this.#guests.delete(poolId)
    for (const job of this.#jobs) if (job.poolId === poolId) job.release()
    this.#jobs = this.#jobs.filter((job) => job.poolId !== poolId)
  }

  setOnline(storage: string, online: boolean): void {
    this.#storage(storage).online = online
  }

  /** A look of the health monitor at all pools that were not looked at since the start. */
  async look(): Promise<void> {
    const known = this.#known()
    await this.#pools.observedOnce(this.#ctx.signal)
    this.#expectKnown(known, 'a look')
  }

  /** DestroyStoragePool. */
  async destroy(poolId: string): Promise<void> {
    const used = this.#isUsed(poolId)
    const others = this.#known().filter((id) => id !== poolId)
    this.#mayUnmount = poolId
    try {
      await this.#pools.destroy(poolId, this.#ctx)
      if (used) this.broken.push(`pool ${poolId} was destroyed while it was in use`)
    } catch (error) {
      if (!isAgentError(error, 'POOL_IN_USE', 'POOL_NOT_FOUND')) throw error
      if (used && !this.#known().includes(poolId)) this.broken.push(`pool ${poolId} is gone after a refused destroy`)
    } finally {
      this.#mayUnmount = undefined
    }
    this.#expectKnown(others, `the destroy of ${poolId}`)
  }

  /**
   * Peace: nothing is in use, storage is back, an admin destroys what stands in the way of what the control plane wants now (a pool of another configuration, or another pool
   * in its storage) with the marker of one whose storage was away when it was destroyed, and heartbeats go on. Every assigned pool must then be here, healthy, as it is wanted.
   */
  async settle(): Promise<void> {
    for (const name of STORAGES) this.setOnline(name, true)
    await this.look()
    const wanted = [...this.#wanted].filter(([, { assigned }]) => assigned)
    // Two pools in one storage cannot both be: the control plane of this world has made up its mind.
    const places = new Map(wanted.map(([poolId, { config }]) => [config.options['storage'], poolId]))
    for (const [poolId, { config }] of wanted) {
      if (places.get(config.options['storage']) !== poolId) this.assign(poolId, false)
    }
    const winners = new Set(places.values())
    for (const { config } of this.#pools.list()) {
      this.release(config.poolId)
      const want = this.#wanted.get(config.poolId)?.config
      const same = want?.kind === config.kind && want.options['storage'] === config.options['storage']
      if (!winners.has(config.poolId) || !same) await this.destroy(config.poolId)
    }
    for (const storage of this.#storages.values()) {
      if (storage.poolId !== undefined && !this.#known().includes(storage.poolId)) storage.poolId = undefined
    }
    // After many failures the agent asks for a pool only every ten minutes.
    const isHere = () => [...winners].every((poolId) => this.#known().includes(poolId))
    for (let round = 0; round < 3 || (round < MOST_BEATS && !isHere()); round++) await this.beat()
    await this.look()
    for (const poolId of winners) {
      const info = this.#pools.list().find(({ config }) => config.poolId === poolId)
      const health = info?.observation.health
      // Away at the last look: the next one, which this world does not wait for, or the next use finds it back.
      const usable = health === 'HEALTHY' || (await this.#usable(poolId))
      const want = this.#wanted.get(poolId)?.config
      if (info === undefined || !usable || info.config.kind !== want?.kind)
        this.broken.push(`pool ${poolId} is wanted and did not become usable (${health ?? 'unknown here'})`)
    }
  }

  async #usable(poolId: string): Promise<boolean> {
    return this.#init(this.#wanted.get(poolId)!.config)
  }

  #watched(kind: PoolKind): PoolBackendFactory {
    const inner = memoryPools(this.#storages)
    return {
      ...inner,
      kind,
      create: (config) => {
        const backend = inner.create({ ...config, kind })
        const { poolId } = config
        const storage = this.#storage(String(config.options['storage']))
        return {
          ...backend,
          kind,
          activate: async (request, ctx) => {
            const made = await backend.activate(request, ctx)
            this.#mounted.add(poolId)
            return made
          },
          deactivate: async (ctx) => {
            if (this.#isUsed(poolId)) this.broken.push(`pool ${poolId} was unmounted while it was in use`)
            if (this.#mayUnmount !== poolId) this.broken.push(`pool ${poolId} was unmounted without being destroyed`)
            this.#mounted.delete(poolId)
            return backend.deactivate(ctx)
          },
          retire: () => {
            if (storage.poolId === poolId) storage.poolId = undefined
            return Promise.resolve()
          },
        }
      },
    }
  }

  #storage(name: string): MemoryStorage {
    const storage = this.#storages.get(name)
    if (storage === undefined) throw new Error(`this world has no storage ${name}`)
    return storage
  }

  // What control planes of today answer: GetPool without a configuration, ListPoolFiles by asking the first host, which they send the pool when it is missing,
  // ReconnectPool by sending it to a host that takes it.
  #controlPlane(): ConnectClient {
    const answer = async (method: string, id: string): Promise<object> => {
      const wanted = this.#wanted.get(id)
      if (wanted === undefined) throw new Error('not_found')
      if (method === 'GetPool') return { id, spec: { backend: { type: 4 } } }
      if (method === 'ReconnectPool') return { id, taken: await this.#init(wanted.config) }
      if (wanted.shared) return {}
      const missing = await this.#pools.info(id, this.#ctx).then(
        () => false,
        (error: unknown) => isAgentError(error, 'POOL_NOT_FOUND'),
      )
      if (missing) await this.#init(wanted.config)
      return {}
    }
    return {
      baseUrl: 'http://control-plane',
      call: async (procedure, request, response) => {
        const { id, poolId } = request as { id?: string; poolId?: string }
        return response.parse(await answer(procedure.slice(procedure.lastIndexOf('/') + 1), id ?? poolId ?? ''))
      },
      close: () => Promise.resolve(),
    }
  }

  /** InitStoragePool; true when the control plane takes the answer for success. It must not, unless the pool is here as it was sent. */
  async #init(config: PoolConfig): Promise<boolean> {
    const had = this.#known().includes(config.poolId)
    // What a first initialisation that fails made is undone.
    if (!had) this.#mayUnmount = config.poolId
    try {
      await this.#pools.init(config, this.#ctx)
    } catch (error) {
      if (countsAsPoolReady(onTheWire(toAgentError(error))))
        this.broken.push(`the control plane takes this for success: ${errorText(error)}`)
      if (!isAgentError(error)) throw error
      return false
    } finally {
      if (!had) this.#mayUnmount = undefined
    }
    const { kind, options } = this.#pools.list().find((pool) => pool.config.poolId === config.poolId)?.config ?? config
    if (kind !== config.kind || options['storage'] !== config.options['storage'])
      this.broken.push(`pool ${config.poolId} was taken with another configuration than it has`)
    return true
  }

  #known(): string[] {
    return this.#pools.list().map(({ config }) => config.poolId)
  }

  #expectKnown(before: readonly string[], what: string): void {
    const now = this.#known()
    for (const poolId of before) if (!now.includes(poolId)) this.broken.push(`pool ${poolId} is gone after ${what}`)
  }

  #isUsed(poolId: string): boolean {
    return (this.#guests.get(poolId) ?? 0) > 0 || this.#jobs.some((job) => job.poolId === poolId)
  }
}
