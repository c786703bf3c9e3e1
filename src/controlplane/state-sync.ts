import { z } from 'zod'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText, isAgentError, toAgentError } from '../core/errors.ts'
import type { PoolInfo, VmInfo } from '../core/model.ts'
import { connectCode, retryAfterMs, type ConnectClient } from '../platform/connect-client.ts'
import type { StateCollection } from '../platform/state-store.ts'
import { backoffMs } from './backoff.ts'
import { poolReport } from './heartbeat.ts'
import { Alarm, type Pace } from './pace.ts'
import {
  gonePoolReport,
  goneReport,
  isRealId,
  poolStateNow,
  stateHash,
  vmReport,
  vmStateNow,
  type HostReport,
  type ToldState,
} from './state-report.ts'
import { ToldRecord, type ToldObjects, type ToldStates } from './told-record.ts'

export interface StateSyncOptions {
  readonly client: ConnectClient
  readonly vms: {
    /** All VMs with their usage; LIBVIRT_UNAVAILABLE while nobody knows them. */
    read(signal: AbortSignal): Promise<readonly VmInfo[]>
    onChange(listener: () => void): () => void
  }
  /** What is known of the addresses of guests, from memory; undefined for a VM of which nothing is. */
  readonly addresses: {
    of(vmId: string): readonly string[] | undefined
    onChange(listener: () => void): () => void
  }
  readonly pools: {
    list(): readonly PoolInfo[]
    onChange(listener: () => void): () => void
  }
  readonly host: (signal: AbortSignal) => Promise<HostReport>
  /** Tell about domains that the agent did not make. */
  readonly importForeign: boolean
  /** Collection of the state store: what was told must not be told as new after a restart, and what was not must be. */
  readonly store: StateCollection<ToldStates>
  readonly pace: Pace
  readonly log: Logger
}

const SERVICE = 'limiquantix.compute.v1.NodeService'
type Call = 'NotifyVMChange' | 'SyncFullState' | 'NotifyStorageChange'

/** A change of one object: what it is now (undefined = gone), and how that is told, if it is. */
interface News {
  readonly id: string
  readonly now: ToldState | undefined
  readonly change?: object
}

/** Numbers of eventType. */
const VM_EVENT = { created: 1, updated: 2, deleted: 3 } as const
const POOL_EVENT = { mounted: 1, unmounted: 2, updated: 3 } as const
const POOL_UNMOUNTED = 4

const CALL_TIMEOUT_MS = 15_000
const READ_TIMEOUT_MS = 10_000
/** One change is several events of libvirt; a control plane hears of it within a second. */
const SETTLE_MS = 300
/** Hosts that come back together do not tell everything at the same moment (contract 3.7). */
const FULL_SYNC_JITTER_MS = 5_000

const acknowledgement = z.object({
  acknowledged: z.boolean().default(false),
  action: z.string().default(''),
  error: z.string().default(''),
})
const fullAnswer = z.object({
  acknowledged: z.boolean().default(false),
  vmsReconciled: z.coerce.number().default(0),
  vmsDiscovered: z.coerce.number().default(0),
  vmsLost: z.coerce.number().default(0),
  conflicts: z.array(z.object({ resourceId: z.string().default(''), message: z.string().default('') })).default([]),
})

/**
 * Tells the control plane of every change of a VM or pool, once and in order for each: what there is to tell is the difference between what is and what was told, which survives
 * restarts on both sides. A control plane that does not know a call is not asked again until the next registration; new VMs reach it through VmSync all the same.
 */
export class StateSync {
  readonly #options: StateSyncOptions
  readonly #alarm = new Alarm()
  readonly #stopping = new AbortController()
  readonly #unsubscribe: readonly (() => void)[]
  readonly #unsupported = new Set<Call>()
  readonly #told: ToldRecord
  #present: ReadonlyMap<string, ToldState> | undefined
  #nodeId: string | undefined
  #fullSyncDueMs: number | undefined
  readonly #running: Promise<void>

  constructor(options: StateSyncOptions) {
    this.#options = options
    this.#told = new ToldRecord(options.store)
    const ring = () => this.#alarm.ring()
    this.#unsubscribe = [options.vms, options.addresses, options.pools].map((source) => source.onChange(ring))
    this.#running = this.#run().catch(() => undefined)
  }

  /** The control plane knows this host (again), by this id; it may have lost everything else. */
  registered(nodeId: string): void {
    const { pace } = this.#options
    this.#nodeId = nodeId
    this.#unsupported.clear()
    this.#fullSyncDueMs = pace.now() + pace.random() * FULL_SYNC_JITTER_MS
    this.#alarm.ring()
  }

  /** The control plane asks for everything. */
  requestFullSync(): void {
    // Who does not know this host gets everything with the registration.
    if (this.#nodeId === undefined) return
    this.#fullSyncDueMs ??= this.#options.pace.now()
    this.#alarm.ring()
  }

  /** Of the VMs as they were at the last look; undefined before that. */
  stateHash(): string | undefined {
    return this.#present && stateHash(this.#present)
  }

  async stop(): Promise<void> {
    for (const off of this.#unsubscribe) off()
    this.#stopping.abort()
    await this.#running
  }

  // Ends when it is stopped, and only then.
  async #run(): Promise<never> {
    const { pace, log } = this.#options
    const { signal } = this.#stopping
    let failures = 0
    let due = Number.POSITIVE_INFINITY
    for (;;) {
      await this.#alarm.sleepUntil(due, pace, signal)
      await pace.delay(SETTLE_MS, signal)
      try {
        await this.#sync(signal)
        failures = 0
        due = this.#fullSyncDueMs ?? Number.POSITIVE_INFINITY
      } catch (error) {
        signal.throwIfAborted()
        failures++
        due = pace.now() + backoffMs(failures, pace.random(), retryAfterMs(toAgentError(error)))
        const what = isAgentError(error, 'STATE_NOT_WRITABLE')
          ? 'what the control plane was told cannot be kept: it may be told so again after a restart'
          : 'the control plane could not be told of a change'
        log.warn({ err: errorText(error), failures }, what)
      }
    }
  }

  async #sync(signal: AbortSignal): Promise<void> {
    const nodeId = this.#nodeId
    if (nodeId === undefined) return
    await this.#told.use(nodeId)
    const vms = await this.#read(signal)
    const { pace } = this.#options
    if (vms !== undefined) {
      this.#present = new Map(vms.map((vm) => [vm.vmId, this.#stateOf(vm, Date.now())]))
    }
    // What one object cannot tell must not keep the others silent.
    const failures: unknown[] = []
    await this.#told.saveAgain().catch((error: unknown) => void failures.push(error))
    const trying = async (work: Promise<void>) =>
      work.catch((error: unknown) => {
        signal.throwIfAborted()
        failures.push(error)
      })
    if (vms !== undefined && this.#fullSyncDueMs !== undefined && this.#fullSyncDueMs <= pace.now()) {
      // To one who knows the VMs, what became of them is a change, also when everything is due at the same moment.
      if (this.#told.vms.ids.length > 0) await trying(this.#tellVms(nodeId, vms, failures, signal))
      if (this.#told.pools.ids.length > 0) await trying(this.#tellPools(nodeId, failures, signal))
      // What is asked for while this one is on its way is another one.
      this.#fullSyncDueMs = undefined
      await this.#tellAll(nodeId, vms, failures, signal).catch((error: unknown) => {
        this.#fullSyncDueMs ??= pace.now()
        throw error
      })
    }
    if (vms !== undefined) await trying(this.#tellVms(nodeId, vms, failures, signal))
    await trying(this.#tellPools(nodeId, failures, signal))
    if (failures.length > 0) throw failures[0]
  }

  async #tellAll(nodeId: string, vms: readonly VmInfo[], failures: unknown[], signal: AbortSignal): Promise<void> {
    const nowMs = Date.now()
    const vmStates = vms.map((vm) => [vm, this.#stateOf(vm, nowMs)] as const)
    const pools = this.#options.pools.list()
    const told = vmStates.map(([vm, state]) => [vm.vmId, state] as const)
    const request = {
      nodeId,
      hostInfo: await this.#options.host(signal),
      vms: vmStates.map(([vm, state]) => vmReport(vm, state)),
      storagePools: pools.map(poolReport),
      stateHash: stateHash(told),
    }
    const answer = await this.#call('SyncFullState', request, fullAnswer, signal)
    if (answer === undefined) return
    this.#told.vms.replace(told)
    this.#told.pools.replace(pools.map((pool) => [pool.config.poolId, poolStateNow(pool, undefined, nowMs)]))
    await this.#keep(failures)
    const { vmsReconciled, vmsDiscovered, vmsLost, conflicts } = answer
    this.#options.log.info(
      { vmsReconciled, vmsDiscovered, vmsLost, conflicts },
      'told the control plane the full state',
    )
  }

  async #tellVms(nodeId: string, vms: readonly VmInfo[], failures: unknown[], signal: AbortSignal): Promise<void> {
    const told = this.#told.vms
    const here = new Map(vms.map((vm) => [vm.vmId, vm]))
    const nowMs = Date.now()
    const newsOf = (id: string): readonly News[] => {
      const vm = here.get(id)
      const before = told.newest(id)
      const now = vm && this.#stateOf(vm, nowMs)
      // In between, libvirt does not tell: what comes of it will.
      if (!told.isNews(id, now) || now?.state === 0) return []
      const report = vm && now ? vmReport(vm, now) : before && goneReport(id, before, nowMs)
      const eventType = !vm ? VM_EVENT.deleted : told.isKnown(id) ? VM_EVENT.updated : VM_EVENT.created
      const change = { nodeId, vm: report, eventType, timestampUnix: Math.floor(nowMs / 1000) }
      // What may not have been heard is no "before" of itself.
      const previous = before?.state === report?.state ? told.heard(id) : before
      return [{ id, now, change: previous ? { ...change, previousState: previous.state } : change }]
    }
    await this.#tell('NotifyVMChange', told, [...here.keys()], newsOf, failures, signal)
  }

  async #tellPools(nodeId: string, failures: unknown[], signal: AbortSignal): Promise<void> {
    const told = this.#told.pools
    const here = new Map(this.#options.pools.list().map((pool) => [pool.config.poolId, pool]))
    const nowMs = Date.now()
    const isMounted = (state: ToldState | undefined) => state !== undefined && state.state !== POOL_UNMOUNTED
    const newsOf = (id: string): readonly News[] => {
      const pool = here.get(id)
      const now = pool && poolStateNow(pool, told.newest(id), nowMs)
      // Not looked at yet: there is nothing to tell.
      if (!told.isNews(id, now) || now?.state === 0) return []
      const wasMounted = isMounted(told.heard(id)) || isMounted(told.newest(id))
      // Whoever destroyed it, as with VMs: a control plane that did it itself changes nothing for this, one that did not learns it nowhere else.
      if (!wasMounted && now === undefined) return [{ id, now }]
      const eventType = !isMounted(now) ? POOL_EVENT.unmounted : wasMounted ? POOL_EVENT.updated : POOL_EVENT.mounted
      const report = pool ? poolReport(pool) : gonePoolReport(id)
      return [{ id, now, change: { nodeId, pool: report, eventType, timestampUnix: Math.floor(nowMs / 1000) } }]
    }
    await this.#tell('NotifyStorageChange', told, [...here.keys()], newsOf, failures, signal)
  }

  // Tells of what is here, or was when it was told of last, what is news.
  async #tell(
    call: Call,
    told: ToldObjects,
    here: readonly string[],
    newsOf: (id: string) => readonly News[],
    failures: unknown[],
    signal: AbortSignal,
  ): Promise<void> {
    if (this.#unsupported.has(call)) return
    const news = [...new Set([...told.ids, ...here])].flatMap(newsOf)
    if (news.length === 0) return
    try {
      for (const { id, now, change } of news) {
        const unheard = told.begin(id, now)
        if (change !== undefined) await this.#keep(failures)
        const isHeard = change === undefined || (await this.#tellOne(call, change, now === undefined, failures, signal))
        if (isHeard) told.end(id, now)
        else unheard()
      }
    } finally {
      await this.#keep(failures)
    }
  }

  // To be heard twice after a restart is better than never: a state directory that cannot be written silences nobody.
  async #keep(failures: unknown[]): Promise<void> {
    await this.#told.save().catch((error: unknown) => void failures.push(error))
  }

  #stateOf(vm: VmInfo, nowMs: number): ToldState {
    return vmStateNow(vm, this.#options.addresses.of(vm.vmId), this.#told.vms.newest(vm.vmId), nowMs)
  }

  // False when it was not heard: kept for the next time, or for a control plane that knows the call.
  async #tellOne(
    call: Call,
    change: object,
    isGone: boolean,
    failures: unknown[],
    signal: AbortSignal,
  ): Promise<boolean> {
    try {
      const answer = await this.#call(call, change, acknowledgement, signal)
      return answer !== undefined
    } catch (error) {
      signal.throwIfAborted()
      const isUnknown = connectCode(error) === 'not_found'
      // What is gone here, and is not known there either, is nothing to speak of any more. If it is the node that is not known, its next registration tells everything.
      if (isGone && isUnknown) return true
      // Nobody is there, or the node is unknown: the others would fare no better.
      if (!isAgentError(error, 'CONTROL_PLANE_REFUSED') || isUnknown) throw error
      failures.push(error)
      return false
    }
  }

  // Undefined when the control plane does not know the call, now or by its word since the registration. One that does not acknowledge it has not taken it: CONTROL_PLANE_REFUSED.
  async #call<T extends { readonly acknowledged: boolean; readonly error?: string }>(
    call: Call,
    request: object,
    schema: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T | undefined> {
    if (this.#unsupported.has(call)) return undefined
    try {
      const how = { signal, timeoutMs: CALL_TIMEOUT_MS }
      const answer = await this.#options.client.call(`${SERVICE}/${call}`, request, schema, how)
      if (answer.acknowledged) return answer
      throw new AgentError(
        'CONTROL_PLANE_REFUSED',
        `${call} was not acknowledged: ${answer.error || 'no reason given'}`,
      )
    } catch (error) {
      if (connectCode(error) !== 'unimplemented') throw error
      this.#unsupported.add(call)
      this.#options.log.info(
        { call },
        'the control plane does not know this call; not used until the next registration',
      )
      return undefined
    }
  }

  async #read(signal: AbortSignal): Promise<readonly VmInfo[] | undefined> {
    const { vms, importForeign } = this.#options
    try {
      const all = await vms.read(AbortSignal.any([signal, AbortSignal.timeout(READ_TIMEOUT_MS)]))
      return all.filter(({ vmId, managed }) => isRealId(vmId) && (managed || importForeign))
    } catch (error) {
      // That nobody knows them now does not mean that they are gone; it tells when they are known again.
      if (isAgentError(error, 'LIBVIRT_UNAVAILABLE')) return undefined
      throw error
    }
  }
}
