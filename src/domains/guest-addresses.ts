import type { Logger } from '../core/context.ts'
import { errorText, isAgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { uuidText } from '../libvirt/uuid.ts'
import type { DomainEntry } from './domain-entry.ts'
import { GuestAgent } from './guest-agent.ts'
import { reachableAddresses } from './guest-facts.ts'
import type { DomainInventory } from './inventory.ts'
import { isOff } from './libvirt-domain.ts'

export interface GuestAddressesParts {
  readonly client: Pick<LibvirtClient, 'call' | 'subscribe'>
  readonly inventory: Pick<DomainInventory, 'entriesHere' | 'onChange' | 'listedOnce'>
  readonly log: Logger
}

interface Watched {
  /** Of the run that is watched, when it is known. */
  readonly startedAt: number | undefined
  /** Undefined until the guest was asked in this run. */
  addresses: readonly string[] | undefined
  timer: NodeJS.Timeout | undefined
  /** Questions in a row that brought no address. */
  empty: number
}

const PERIOD_MS = 60_000
/** A guest that has just come up gets its address in a moment: asked sooner, then less and less often. */
const FIRST_WAIT_MS = 5_000
/** An agent that is silent holds one of libvirtd's workers for 5 s at each question. */
const SILENT_MS = 5 * PERIOD_MS
const QUESTION_MS = 30_000
const AGENT_CONNECTED = 1
const WITHOUT_AGENT = ['no-channel', 'not-connected']
/** A guest can claim any number. */
const MAX_ADDRESSES = 32

/**
 * Remembers the addresses that running guests claim, so that nobody has to ask a guest and wait. libvirt tells when an agent comes up, but nobody when an address changes: the agents are asked for that
 * once a minute, one after the other, so that silent ones take no more than one of libvirtd's workers. What a guest said counts until it says something else or is off: an agent that is silent takes no address away.
 */
export class GuestAddresses {
  readonly #parts: GuestAddressesParts
  readonly #watched = new Map<string, Watched>()
  readonly #listeners = new Set<() => void>()
  readonly #turn = new KeyedLock()
  readonly #stopping = new AbortController()
  readonly #unsubscribe: (() => void)[] = []

  constructor(parts: GuestAddressesParts) {
    this.#parts = parts
  }

  /** Begins to ask, as soon as the VMs are known; does not wait for that. */
  start(): void {
    const { client, inventory, log } = this.#parts
    const { signal } = this.#stopping
    this.#unsubscribe.push(inventory.onChange((vmId) => this.#follow(vmId)))
    inventory
      .listedOnce(signal)
      .then(() => {
        for (const entry of inventory.entriesHere()) this.#followEntry(entry.facts.vmId, entry)
      })
      .catch((error: unknown) => {
        if (!signal.aborted)
          log.debug({ err: errorText(error) }, 'addresses of guests are asked for with the next change')
      })
    client
      .subscribe('domain:AGENT_LIFECYCLE', ({ dom, state }) => {
        if (state === AGENT_CONNECTED) this.#connected(uuidText(dom.uuid))
      })
      .then((off) => {
        const unsubscribe = () => void off().catch(() => undefined)
        if (signal.aborted) unsubscribe()
        else this.#unsubscribe.push(unsubscribe)
      })
      .catch((error: unknown) => {
        log.warn({ err: errorText(error) }, 'this libvirt does not tell of guest agents; addresses of guests come late')
      })
  }

  stop(): void {
    this.#stopping.abort()
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe()
    for (const vmId of [...this.#watched.keys()]) this.#forget(vmId)
  }

  /** Addresses of a running VM, without loopback and link-local ones, in the order of its interfaces; undefined when they are not known. */
  of(vmId: string): readonly string[] | undefined {
    return this.#watched.get(vmId)?.addresses
  }

  /** Calls `listener` when the addresses of a VM are others; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => void this.#listeners.delete(listener)
  }

  #follow(vmId: string): void {
    let entries: readonly DomainEntry[]
    try {
      entries = this.#parts.inventory.entriesHere()
    } catch (error) {
      // While libvirt is away nothing is known to have changed; what did is seen before the next question.
      if (isAgentError(error, 'LIBVIRT_UNAVAILABLE')) return
      throw error
    }
    this.#followEntry(
      vmId,
      entries.find(({ facts }) => facts.vmId === vmId),
    )
  }

  #followEntry(vmId: string, entry: DomainEntry | undefined): void {
    const startedAt = entry?.startedAt
    const before = this.#watched.get(vmId)
    // It was off and is on again, which libvirt did not tell while it was away.
    const isAnotherRun = before?.startedAt !== undefined && startedAt !== undefined && before.startedAt !== startedAt
    if (entry === undefined || isOff(entry.state) || isAnotherRun) this.#forget(vmId)
    if (entry?.state === 'RUNNING' && !this.#watched.has(vmId)) {
      const watched: Watched = { startedAt, addresses: undefined, timer: undefined, empty: 0 }
      this.#watched.set(vmId, watched)
      this.#askIn(0, vmId, watched)
    }
  }

  #forget(vmId: string): void {
    clearTimeout(this.#watched.get(vmId)?.timer)
    this.#watched.delete(vmId)
  }

  // A guest can open and close its channel as often as it likes: no question follows another at once.
  #connected(vmId: string): void {
    const watched = this.#watched.get(vmId)
    if (watched === undefined) return
    watched.empty = 0
    // One that is being asked is asked again after that.
    if (watched.timer !== undefined) this.#askIn(watched.addresses === undefined ? 0 : FIRST_WAIT_MS, vmId, watched)
  }

  #askIn(ms: number, vmId: string, watched: Watched): void {
    clearTimeout(watched.timer)
    watched.timer = setTimeout(() => {
      watched.timer = undefined
      this.#follow(vmId)
      if (this.#watched.get(vmId) === watched) void this.#ask(vmId, watched)
    }, ms)
    watched.timer.unref()
  }

  async #ask(vmId: string, watched: Watched): Promise<void> {
    const { client, log } = this.#parts
    const { signal } = this.#stopping
    let wait = PERIOD_MS
    let found: readonly string[] | undefined
    try {
      found = await this.#turn.run('guests', signal, async () => {
        const ctx = { signal: AbortSignal.any([signal, AbortSignal.timeout(QUESTION_MS)]), log }
        const claimed = reachableAddresses(await new GuestAgent(client, vmId).addresses(ctx))
        return [...new Set(claimed)].slice(0, MAX_ADDRESSES)
      })
      watched.empty = found.length === 0 ? watched.empty + 1 : 0
      if (found.length === 0) wait = Math.min(PERIOD_MS, FIRST_WAIT_MS * 2 ** (watched.empty - 1))
    } catch (error) {
      if (signal.aborted) return
      if (isAgentError(error, 'GUEST_AGENT_UNAVAILABLE')) {
        const cause = error.details['cause'] ?? ''
        // Who has no agent has no address that anybody knows. Of one that is silent or paused nothing new is known.
        if (WITHOUT_AGENT.includes(cause)) found = watched.addresses ?? []
        // A guest that is paused holds no worker.
        if (cause !== 'vm-off') wait = SILENT_MS
      }
      log.debug({ vm: vmId, err: errorText(error) }, 'a guest does not tell its addresses')
    }
    // Its run has ended meanwhile.
    if (this.#watched.get(vmId) !== watched) return
    this.#askIn(wait, vmId, watched)
    if (found === undefined || (watched.addresses !== undefined && sameAddresses(watched.addresses, found))) return
    watched.addresses = found
    for (const listener of [...this.#listeners]) listener()
  }
}

/** True when both are the same addresses, in any order. */
function sameAddresses(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((address) => other.includes(address))
}
