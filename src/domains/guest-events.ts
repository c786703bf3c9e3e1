import { uptime } from 'node:os'
import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { EVENT_KINDS, type NodeEventType, type VmProblem } from '../core/events.ts'
import { EventPace } from '../events/event-pace.ts'
import type { EventLog } from '../events/event-log.ts'
import type { LibvirtClient } from '../libvirt/client.ts'
import { LibvirtError } from '../libvirt/errors.ts'
import type { EventName } from '../libvirt/event-names.ts'
import { uuidText } from '../libvirt/uuid.ts'
import type { RemoteNonnullDomain } from '../libvirt/wire/remote-types.gen.ts'
import type { DomainFacts } from './domain-info.ts'
import { GUEST_EVENTS, type AnyReading, type GuestEventFacts } from './guest-event-facts.ts'
import { GuestProblems } from './guest-problems.ts'

const BURST = 5
const MAX_RESTORED = 1000
const PERIOD_MS = 10_000
/** What ends a run of a guest, or begins one. */
const RUN_BOUNDS: ReadonlySet<NodeEventType> = new Set(['VM_STARTED', 'VM_STOPPED', 'VM_CRASHED'])

export interface GuestEventsParts {
  readonly client: Pick<LibvirtClient, 'subscribe'>
  readonly events: Pick<EventLog, 'publish' | 'list'>
  readonly log: Logger
  /** What is known of a domain; undefined when nothing is. */
  readonly factsOf: (vmId: string) => DomainFacts | undefined
  /** Called when the problems of a VM are others. */
  readonly changed: (vmId: string) => void
}

/**
 * Tells what happens to running guests beside their power: failing disks, watchdogs, agents, trays. From libvirt's events alone. A guest can cause most of these as fast as it likes, so what repeats itself is told at a limited pace, with the number of
 * those left out.
 */
export class GuestEvents {
  readonly #parts: GuestEventsParts
  readonly #pace = new EventPace(BURST, PERIOD_MS)
  readonly #problems = new GuestProblems()

  constructor(parts: GuestEventsParts) {
    this.#parts = parts
  }

  /** Registers with libvirt; resolves to how to stop each. A daemon that is too old for an event is no error. */
  async start(): Promise<(() => Promise<void>)[]> {
    const { client, log } = this.#parts
    const subscribed = await Promise.all(
      Object.entries(GUEST_EVENTS).map(async ([name, reading]) => {
        try {
          const listener = (payload: { readonly dom: RemoteNonnullDomain }) => this.#onEvent(payload, reading)
          return [await client.subscribe(name as EventName, listener as never)]
        } catch (error) {
          if (!(error instanceof LibvirtError)) throw error
          log.warn({ event: name, err: errorText(error) }, 'this libvirt does not tell of an event')
          return []
        }
      }),
    )
    return subscribed.flat()
  }

  /** Trouble of a VM since it was started. */
  problemsOf(vmId: string): readonly VmProblem[] {
    return this.#problems.of(vmId)
  }

  /** Takes up the problems that a VM had before the agent was restarted, when it is still the same run: libvirt numbers these, anew with each boot of the host. */
  restore(vmId: string, run: number): void {
    const booted = Date.now() - uptime() * 1000
    for (const event of this.#parts.events.list({ vmId, level: 'error' }, MAX_RESTORED)) {
      const { problem, text = '', disk = '', heldBack = '0' } = event.metadata
      if (event.metadata['run'] !== String(run) || event.timestamp < booted || !isProblem(problem)) continue
      this.#problems.add(vmId, { kind: problem, message: text, disk }, event.timestamp, 1 + Number(heldBack))
    }
  }

  /** The VM was started or is off: its QEMU is another one. */
  runEnded(vmId: string): void {
    this.#problems.forget(vmId)
  }

  // libvirt tells the state of the agent again when it is restarted. That one is away which was never there is no news, nor that it is there twice in a run.
  #isNews(vmId: string, type: NodeEventType): boolean {
    if (type !== 'AGENT_CONNECTED' && type !== 'AGENT_DISCONNECTED') return true
    const told = this.#parts.events.list({ vmId }, MAX_RESTORED)
    const last = told.findLast((event) => event.type.startsWith('AGENT_') || RUN_BOUNDS.has(event.type))
    return (type === 'AGENT_CONNECTED') !== (last?.type === 'AGENT_CONNECTED')
  }

  #onEvent(payload: { readonly dom: RemoteNonnullDomain }, reading: AnyReading): void {
    const { events, log, factsOf, changed } = this.#parts
    const vmId = uuidText(payload.dom.uuid)
    const facts = factsOf(vmId)
    const seen = reading(payload as never, facts)
    if (seen === undefined || !this.#isNews(vmId, seen.type)) return
    const name = facts?.name ?? payload.dom.name
    const message = `VM ${name === '' ? vmId : name}: ${seen.text}`
    if (seen.problem !== undefined) {
      this.#problems.add(vmId, { kind: seen.problem, message: seen.text, disk: seen.disk ?? '' })
      changed(vmId)
    }
    const heldBack = this.#pace.pass(paceKey(vmId, seen))
    if (heldBack === undefined) return
    events.publish({
      type: seen.type,
      vmId,
      message: heldBack === 0 ? message : `${message} (${heldBack} more like it since the last one told)`,
      metadata: {
        ...(name === '' ? {} : { name }),
        ...(seen.disk === undefined ? {} : { disk: seen.disk }),
        ...seen.metadata,
        ...(seen.problem === undefined ? {} : { problem: seen.problem, text: seen.text, run: String(payload.dom.id) }),
        ...(heldBack === 0 ? {} : { heldBack: String(heldBack) }),
      },
    })
    const { level } = EVENT_KINDS[seen.type]
    if (level !== 'info') log.warn({ vm: vmId, event: seen.type, ...seen.metadata, heldBack }, message)
  }
}

const isProblem = (word: string | undefined): word is VmProblem['kind'] =>
  word === 'io-error' || word === 'memory-failure'

// An agent that comes and goes is one thing, and so is a tray.
function paceKey(vmId: string, { type, disk, metadata }: GuestEventFacts): string {
  return [vmId, type.replace(/_(DIS)?CONNECTED$|_(OPENED|CLOSED)$/, ''), disk, metadata?.['reason']].join('\0')
}
