import type { Logger } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { VmMetrics } from '../core/metrics.ts'
import type { EventDraft, NodeEvent, NodeEventType } from '../core/events.ts'
import type { VmInfo } from '../core/model.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { uuidText } from '../libvirt/uuid.ts'
import { unreadableFacts, vmInfo, type DomainEntry } from './domain-entry.ts'
import { readDomain, type DomainReading } from './domain-reader.ts'
import { DomainStats, type DomainSample } from './domain-stats.ts'
import { EventLog } from '../events/event-log.ts'
import { deviceEvents } from './device-events.ts'
import { GuestEvents } from './guest-events.ts'
import { VIR_DOMAIN_EVENT } from '../libvirt/constants.ts'
import { isOff } from './libvirt-domain.ts'
import { vmNotFound } from './libvirt-errors.ts'
import { eventOfChange, lifecycleMeaning } from './lifecycle-events.ts'
import { RefreshQueue, type RefreshRun } from './refresh-queue.ts'
import { vmCounters, vmUsage } from './usage.ts'

const READ_TIMEOUT_MS = 15_000
const RELIST_MS = 60_000

type Listener = (vmId: string) => void

/**
 * All domains of the host in memory, kept true by libvirt's events: listed at every (re)connect, after that by events, and once a minute to be sure. While there is
 * no connection it tells nothing: LIBVIRT_UNAVAILABLE rather than old truth. VM_NOT_FOUND only ever comes from libvirt's own word.
 */
export class DomainInventory {
  readonly #client: LibvirtClient
  readonly #log: Logger
  readonly #events: EventLog
  readonly #guests: GuestEvents
  readonly #stats: DomainStats
  #entries = new Map<string, DomainEntry>()
  readonly #listeners = new Set<Listener>()
  readonly #arriving = new Set<string>()
  readonly #refreshes = new RefreshQueue((vmId, run) => this.#readOne(vmId, run))
  #listed = false
  #everListed = false
  readonly #firstListing = Promise.withResolvers<void>()
  #stop: (() => void)[] = []

  /** Tells what happens to `events`; without, to its own, which end with it. */
  constructor(client: LibvirtClient, log: Logger, events: EventLog = new EventLog(log)) {
    this.#client = client
    this.#log = log.child({ component: 'inventory' })
    this.#events = events
    this.#guests = new GuestEvents({
      client,
      events,
      log: this.#log,
      factsOf: (vmId) => this.#entries.get(vmId)?.facts,
      changed: (vmId) => this.#changed(vmId),
    })
    this.#stats = new DomainStats(client)
  }

  /** Registers with the client; before it connects, so that the first listing is part of its resync. Does not wait for a connection. */
  async start(): Promise<void> {
    this.#stop.push(this.#client.onResync((signal) => this.#list(signal, true)))
    this.#stop.push(
      this.#client.onState(({ phase }) => {
        if (phase === 'disconnected' || phase === 'closed') this.#listed = false
      }),
    )
    const unsubscribe = await Promise.all([
      this.#client.subscribe('domain:LIFECYCLE', ({ dom, event, detail }) =>
        this.#onLifecycle(uuidText(dom.uuid), event, detail),
      ),
      this.#client.subscribe('domain:REBOOT', ({ dom }) => this.#onReboot(uuidText(dom.uuid))),
      this.#client.subscribe('domain:METADATA_CHANGE', ({ dom }) => this.#refreshSoon(uuidText(dom.uuid))),
      this.#client.subscribe('domain:DEVICE_ADDED', ({ dom }) => this.#refreshSoon(uuidText(dom.uuid))),
      this.#client.subscribe('domain:DEVICE_REMOVED', ({ dom }) => this.#refreshSoon(uuidText(dom.uuid))),
    ])
    unsubscribe.push(...(await this.#guests.start()))
    for (const off of unsubscribe) {
      this.#stop.push(() => {
        off().catch((error: unknown) => this.#log.debug({ err: errorText(error) }, 'could not deregister an event'))
      })
    }
    const timer = setInterval(() => {
      if (this.#listed)
        this.#list(AbortSignal.timeout(RELIST_MS)).catch((error: unknown) =>
          this.#log.warn({ err: errorText(error) }, 'could not list domains'),
        )
    }, RELIST_MS)
    timer.unref()
    this.#stop.push(() => clearInterval(timer))
    // The client may have connected before us: then no resync is coming.
    if (this.#client.state.phase === 'connected') await this.#list(AbortSignal.timeout(RELIST_MS))
  }

  stop(): void {
    for (const stop of this.#stop.splice(0)) stop()
  }

  /** Resolves when the domains of this host were listed for the first time; rejects with the signal's reason. */
  async listedOnce(signal: AbortSignal): Promise<void> {
    await abortable(this.#firstListing.promise, signal)
  }

  /** Every domain as it is now. LIBVIRT_UNAVAILABLE without a connection. */
  entries(): DomainEntry[] {
    this.#requireTruth()
    return [...this.#entries.values()]
  }

  /** As `entries`, without VMs that are on their way to this host: they are still those of another one. */
  entriesHere(): DomainEntry[] {
    return this.entries().filter(({ facts }) => !this.#arriving.has(facts.vmId))
  }

  /** Says nothing to anybody of a VM that is on its way to this host, until the returned function is called with whether it has arrived. */
  arriving(vmId: string): (arrived: boolean) => Promise<void> {
    this.#arriving.add(vmId)
    return async (arrived) => {
      await this.settle(vmId)
      this.#arriving.delete(vmId)
      if (arrived) this.#publish('VM_MIGRATED_IN', vmId, this.#entries.get(vmId)?.facts.name ?? '', 'migrated here')
      this.#changed(vmId)
    }
  }

  /** Tells that a VM has moved to another host while it was off. */
  movedAway(vmId: string, name: string): void {
    this.#publish('VM_MIGRATED_OUT', vmId, name, 'migrated to another host')
  }

  /** One domain; asks libvirt when it is not in memory. Errors: VM_NOT_FOUND (libvirt's word), LIBVIRT_*. */
  async entry(vmId: string, signal: AbortSignal): Promise<DomainEntry> {
    this.#requireTruth()
    if (!this.#entries.has(vmId)) await abortable(this.refresh(vmId), signal)
    this.#requireTruth()
    const entry = this.#entries.get(vmId)
    if (entry === undefined) throw vmNotFound(vmId)
    return entry
  }

  /** All VMs with their usage. LIBVIRT_UNAVAILABLE without a connection. */
  async list(signal: AbortSignal): Promise<VmInfo[]> {
    this.#requireTruth()
    const samples = await this.#readStats(signal)
    return this.entriesHere().map((entry) => this.#info(entry, samples))
  }

  /** All VMs with everything that is counted of them. LIBVIRT_UNAVAILABLE without a connection. */
  async metrics(signal: AbortSignal): Promise<VmMetrics[]> {
    this.#requireTruth()
    const samples = await this.#readStats(signal)
    return this.entriesHere().map(({ facts, state }) => {
      const sample = isOff(state) ? undefined : samples.get(facts.vmId)
      const { vmId, name, cpuCount: vcpus } = facts
      return { vmId, name, state, vcpus, ...(sample === undefined ? {} : { counters: vmCounters(sample, facts) }) }
    })
  }

  /** Tells whose storage is known not to answer (ids of VMs); asked before each reading of counters. */
  leaveOutStalled(source: () => ReadonlySet<string>): void {
    this.#stats.stalled = source
  }

  /** One VM with its usage. Errors as `entry`. */
  async get(vmId: string, signal: AbortSignal): Promise<VmInfo> {
    const before = await this.entry(vmId, signal)
    const samples = isOff(before.state) ? new Map<string, DomainSample>() : await this.#readStats(signal)
    return this.#info(await this.entry(vmId, signal), samples)
  }

  /** Name of a VM as it was last seen; empty when it is not known. */
  nameOf(vmId: string): string {
    return this.#entries.get(vmId)?.facts.name ?? ''
  }

  /** Events of all VMs from now on until `signal` fires. */
  events(signal: AbortSignal): AsyncIterable<NodeEvent> {
    return this.#events.read(signal)
  }

  /** Calls `listener` with the id of each domain that changed or went; returns how to stop that. */
  onChange(listener: Listener): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  /** Reads one domain anew. Errors: LIBVIRT_*. */
  async refresh(vmId: string): Promise<void> {
    await this.#refreshes.refresh(vmId)
  }

  /** Reads a domain after a change was made to it, as far as possible; never throws. */
  async settle(vmId: string): Promise<void> {
    await this.refresh(vmId).catch((error: unknown) => {
      this.#log.debug({ vm: vmId, err: errorText(error) }, 'could not read a domain after a change')
    })
  }

  #requireTruth(): void {
    if (this.#listed) return
    const { error } = this.#client.state
    throw new AgentError(
      'LIBVIRT_UNAVAILABLE',
      'the agent has no connection to libvirt at the moment, so it cannot tell the state of VMs',
      {
        cause: error,
      },
    )
  }

  async #readStats(signal: AbortSignal): Promise<ReadonlyMap<string, DomainSample>> {
    try {
      return await abortable(this.#stats.read(), signal)
    } catch (error) {
      signal.throwIfAborted()
      // States are worth telling without numbers; a lost connection is noticed by the caller's own check.
      this.#log.warn({ err: errorText(error) }, 'could not read the usage of VMs')
      return new Map()
    }
  }

  async #list(signal: AbortSignal, tellChanges = false): Promise<void> {
    const { domains } = await this.#client.call(
      'remote:CONNECT_LIST_ALL_DOMAINS',
      { need_results: 1, flags: 0 },
      { timeoutMs: READ_TIMEOUT_MS, signal },
    )
    const names = new Map(domains.map((dom) => [uuidText(dom.uuid), dom.name]))
    // One that is not in the list may be newer than the list: only libvirt's own word takes it away.
    const known = [...this.#entries.keys()].filter((vmId) => !names.has(vmId)).map((vmId) => [vmId, undefined] as const)
    await Promise.all([...names, ...known].map(([vmId, name]) => this.#refreshListed(vmId, name, signal, tellChanges)))
    if (!this.#everListed) for (const dom of domains) this.#guests.restore(uuidText(dom.uuid), dom.id)
    this.#listed = true
    this.#everListed = true
    this.#firstListing.resolve()
  }

  // A domain that cannot be read must not hide all others.
  async #refreshListed(
    vmId: string,
    name: string | undefined,
    signal: AbortSignal,
    tellChanges: boolean,
  ): Promise<void> {
    try {
      await abortable(this.#refreshes.refresh(vmId, tellChanges), signal)
    } catch (error) {
      signal.throwIfAborted()
      if (isAgentError(error, 'LIBVIRT_UNAVAILABLE', 'LIBVIRT_OUTCOME_UNKNOWN')) throw error
      this.#log.warn({ vm: vmId, name, err: errorText(error) }, 'a domain cannot be read; its state is unknown')
      const before = this.#entries.get(vmId)
      // Events have kept the state true, unless there were none.
      const state = tellChanges ? 'UNKNOWN' : (before?.state ?? 'UNKNOWN')
      this.#put(vmId, { facts: undefined, name: name ?? before?.facts.name ?? '', state, isStarting: false }, false)
    }
  }

  async #readOne(vmId: string, run: RefreshRun): Promise<void> {
    const reading = await readDomain(this.#client, vmId, this.#log)
    if (reading === undefined) this.#drop(vmId)
    // An event came meanwhile: what was read may be older than it.
    else if (!run.again) this.#put(vmId, reading, run.tellChanges)
  }

  #put(vmId: string, { facts, name, state: seen, isStarting }: DomainReading, tellChange: boolean): void {
    const before = this.#entries.get(vmId)
    // Nobody paused it: it is what it was, until libvirt tells that it has started.
    const state = isStarting && before !== undefined ? before.state : seen
    const startedAt = isOff(state) ? undefined : before?.startedAt
    const told = before?.toldState ?? 'UNKNOWN'
    this.#entries.set(vmId, {
      facts: facts ?? before?.facts ?? unreadableFacts(vmId, name),
      readable: facts !== undefined,
      state,
      toldState: told === 'UNKNOWN' || tellChange ? state : told,
      startedAt,
      observedAt: Date.now(),
    })
    // With events on their way, telling it here as well would tell it twice.
    const type = tellChange ? eventOfChange(told, state) : undefined
    if (type !== undefined) this.#publish(type, vmId, name, 'seen when the state was read again')
    if (isOff(state)) this.#guests.runEnded(vmId)
    if (before?.readable === true && facts !== undefined) this.#tell(deviceEvents(before.facts, facts))
    this.#changed(vmId)
  }

  #drop(vmId: string): void {
    const before = this.#entries.get(vmId)
    if (before === undefined) return
    this.#entries.delete(vmId)
    this.#guests.runEnded(vmId)
    if (before.toldState !== 'UNKNOWN' && !isOff(before.toldState))
      this.#publish('VM_STOPPED', vmId, before.facts.name, 'removed from libvirt')
    this.#changed(vmId)
  }

  #onLifecycle(vmId: string, event: number, detail: number): void {
    const meaning = lifecycleMeaning(event, detail)
    const before = this.#entries.get(vmId)
    if (before !== undefined && meaning.state !== undefined) {
      const started = event === VIR_DOMAIN_EVENT.STARTED && meaning.type !== 'VM_RESUMED'
      if (started) this.#guests.runEnded(vmId)
      const off = isOff(meaning.state)
      const startedAt = started ? Date.now() : off ? undefined : before.startedAt
      this.#entries.set(vmId, {
        ...before,
        state: meaning.state,
        toldState: meaning.state,
        startedAt,
        observedAt: Date.now(),
      })
    }
    // Each start sends a RESUMED of its own before STARTED.
    const partOfStart = meaning.type === 'VM_RESUMED' && before !== undefined && isOff(before.toldState)
    if (meaning.type !== undefined && !partOfStart) {
      this.#publish(meaning.type, vmId, before?.facts.name ?? '', meaning.detail)
    }
    this.#changed(vmId)
    this.#refreshSoon(vmId)
  }

  #onReboot(vmId: string): void {
    this.#publish('VM_REBOOTED', vmId, this.#entries.get(vmId)?.facts.name ?? '', 'rebooted')
  }

  #refreshSoon(vmId: string): void {
    // When it fails, the next listing, at the latest the one after a reconnect, makes good for it.
    void this.settle(vmId)
  }

  #publish(type: NodeEventType, vmId: string, name: string, detail: string): void {
    // Before the first listing nothing is known, so nothing has changed.
    if (!this.#everListed || this.#arriving.has(vmId)) return
    const message = `VM ${name === '' ? vmId : name}: ${detail}`
    this.#tell([{ type, vmId, message, metadata: { detail, ...(name === '' ? {} : { name }) } }])
  }

  #tell(events: readonly EventDraft[]): void {
    for (const event of events) if (!this.#arriving.has(event.vmId)) this.#events.publish(event)
  }

  #info(entry: DomainEntry, samples: ReadonlyMap<string, DomainSample>): VmInfo {
    const { facts, state } = entry
    const sample = isOff(state) ? undefined : samples.get(facts.vmId)
    const usage = sample === undefined ? undefined : vmUsage(sample, facts.cpuCount)
    return vmInfo(entry, usage, this.#guests.problemsOf(facts.vmId))
  }

  #changed(vmId: string): void {
    for (const listener of [...this.#listeners]) listener(vmId)
  }
}
