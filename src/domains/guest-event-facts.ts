import type { NodeEventType } from '../core/events.ts'
import type { EventName, EventPayload } from '../libvirt/event-names.ts'
import type { DomainFacts } from './domain-info.ts'

/** What an event of libvirt about a running guest means. */
export interface GuestEventFacts {
  readonly type: NodeEventType
  /** What happened, after the name of the VM. */
  readonly text: string
  /** Id of the disk or drive it is about. */
  readonly disk?: string
  readonly metadata?: Readonly<Record<string, string>>
  /** It stays a problem of the VM until that is off. */
  readonly problem?: 'io-error' | 'memory-failure'
}

type Reading<E extends EventName> = (
  payload: EventPayload<E>,
  facts: DomainFacts | undefined,
) => GuestEventFacts | undefined
type Readings = { readonly [E in EventName]?: Reading<E> }

// virDomainEventIOErrorAction.
const IO_ACTIONS = ['none', 'pause', 'report'] as const
const IO_CONSEQUENCES = {
  none: 'QEMU ignores it',
  pause: 'the VM is paused; resume it when the storage is well again',
  report: 'the guest was told',
} as const
// virDomainEventWatchdogAction.
const WATCHDOG_ACTIONS = ['none', 'pause', 'reset', 'poweroff', 'shutdown', 'debug', 'inject-nmi'] as const
// virConnectDomainEventAgentLifecycleState.
const AGENT_CONNECTED = 1
// VIR_CONNECT_DOMAIN_EVENT_AGENT_LIFECYCLE_REASON_DOMAIN_STARTED.
const AGENT_OF_STARTED = 1
// virDomainEventTrayChangeReason.
const TRAY_OPENED = 0

/** Readings of the events that are more than the power of a VM, by libvirt's names. */
export const GUEST_EVENTS = {
  'domain:IO_ERROR_REASON': ({ srcPath, devAlias, action, reason }, facts) => {
    const word = IO_ACTIONS[action] ?? 'report'
    const disk = diskOf(facts, devAlias, srcPath)
    const why = reason === '' ? 'I/O error' : reason
    return {
      type: 'IO_ERROR',
      text: `disk ${disk} failed (${why}); ${IO_CONSEQUENCES[word]}`,
      disk,
      metadata: { path: srcPath, action: word, reason: why },
      problem: 'io-error',
    }
  },
  'domain:BLOCK_THRESHOLD': ({ dev, path, threshold, excess }, facts) => {
    // libvirt tells it once more for the layer of the disk, as `vda[1]`.
    if (dev.includes('[')) return undefined
    const disk = facts?.disks.find(({ targetDev }) => targetDev === dev)?.id ?? dev
    return {
      type: 'BLOCK_THRESHOLD',
      text: `disk ${disk} was written past the mark at ${threshold} bytes`,
      disk,
      metadata: { path: path ?? '', threshold: String(threshold), excess: String(excess) },
    }
  },
  'domain:WATCHDOG': ({ action }) => {
    const word = WATCHDOG_ACTIONS[action] ?? String(action)
    return { type: 'WATCHDOG', text: `its watchdog ran out (action ${word})`, metadata: { action: word } }
  },
  'domain:MEMORY_FAILURE': ({ recipient, action, flags }) => ({
    type: 'MEMORY_FAILURE',
    text: 'the memory of the host has a fault where its own is: look at the log of the kernel and move the VM away',
    metadata: { recipient: String(recipient), action: String(action), flags: String(flags) },
    problem: 'memory-failure',
  }),
  'domain:DEVICE_REMOVAL_FAILED': ({ devAlias }, facts) => ({
    type: 'DEVICE_REMOVAL_FAILED',
    text: `the guest does not let go of device ${nameOf(facts, devAlias)}`,
    metadata: { device: devAlias },
  }),
  'domain:AGENT_LIFECYCLE': ({ state, reason }) => {
    if (state === AGENT_CONNECTED) return { type: 'AGENT_CONNECTED', text: 'its guest agent is there' }
    // Of a VM that just starts it is no news that nothing runs in its guest yet.
    if (reason === AGENT_OF_STARTED) return undefined
    return { type: 'AGENT_DISCONNECTED', text: 'its guest agent went away' }
  },
  'domain:TRAY_CHANGE': ({ devAlias, reason }, facts) => {
    const disk = nameOf(facts, devAlias)
    return reason === TRAY_OPENED
      ? { type: 'TRAY_OPENED', text: `drive ${disk} was opened`, disk }
      : { type: 'TRAY_CLOSED', text: `drive ${disk} was closed`, disk }
  },
  'domain:BALLOON_CHANGE': ({ actual }) => ({
    type: 'BALLOON_CHANGED',
    text: `it has ${Number(actual) / 1024} MiB of memory now`,
    metadata: { memoryKib: String(actual) },
  }),
} as const satisfies Readings

/** A reading whatever its event. */
export type AnyReading = (payload: never, facts: DomainFacts | undefined) => GuestEventFacts | undefined

/** Which disk QEMU means: by the file, since the alias is that of the device and may not be known yet. */
function diskOf(facts: DomainFacts | undefined, alias: string, path: string): string {
  const found = facts?.disks.find((disk) => disk.alias === alias) ?? facts?.disks.find((disk) => disk.path === path)
  return found?.id ?? nameOf(facts, alias)
}

function nameOf(facts: DomainFacts | undefined, alias: string): string {
  const devices = [...(facts?.disks ?? []), ...(facts?.cdroms ?? [])]
  return devices.find((device) => device.alias === alias)?.id ?? alias
}
