/** What can happen on a host, transport-neutral. */

/** How much an event wants to be looked at. */
export type EventLevel = 'info' | 'warning' | 'error'
/** What it is about. */
export type EventCategory = 'vm' | 'storage' | 'guest' | 'node'

const kind = (level: EventLevel, category: EventCategory) => ({ level, category })

/** Every kind of event. Those in the first block are EventType of the contract (root numbering); it has no number for the others. */
export const EVENT_KINDS = {
  VM_STARTED: kind('info', 'vm'),
  VM_STOPPED: kind('info', 'vm'),
  VM_PAUSED: kind('info', 'vm'),
  VM_RESUMED: kind('info', 'vm'),
  VM_CRASHED: kind('error', 'vm'),
  VM_REBOOTED: kind('info', 'vm'),
  VM_MIGRATED_OUT: kind('info', 'vm'),
  VM_MIGRATED_IN: kind('info', 'vm'),
  SNAPSHOT_CREATED: kind('info', 'vm'),
  SNAPSHOT_REVERTED: kind('info', 'vm'),
  SNAPSHOT_DELETED: kind('info', 'vm'),
  DISK_ATTACHED: kind('info', 'vm'),
  DISK_DETACHED: kind('info', 'vm'),
  NIC_ATTACHED: kind('info', 'vm'),
  NIC_DETACHED: kind('info', 'vm'),
  NODE_OVERLOADED: kind('warning', 'node'),
  NODE_RECOVERED: kind('info', 'node'),

  /** A disk of a VM answered its QEMU with an error. */
  IO_ERROR: kind('error', 'storage'),
  /** A disk was written past the mark that was set on it. */
  BLOCK_THRESHOLD: kind('warning', 'storage'),
  /** The watchdog of a guest ran out. */
  WATCHDOG: kind('warning', 'vm'),
  /** The host's memory has a fault where a guest's is. */
  MEMORY_FAILURE: kind('error', 'vm'),
  /** A guest said no to a device being taken out. */
  DEVICE_REMOVAL_FAILED: kind('warning', 'vm'),
  /** The QEMU guest agent of a VM came, or went. */
  AGENT_CONNECTED: kind('info', 'guest'),
  AGENT_DISCONNECTED: kind('info', 'guest'),
  TRAY_OPENED: kind('info', 'guest'),
  TRAY_CLOSED: kind('info', 'guest'),
  /** The balloon of a VM has another size. */
  BALLOON_CHANGED: kind('info', 'guest'),
} as const satisfies Record<string, { level: EventLevel; category: EventCategory }>

export type NodeEventType = keyof typeof EVENT_KINDS

/** Something that happened. `metadata` has facts for programs; its keys are those of docs/vms.md, "Events". */
export interface EventDraft {
  readonly type: NodeEventType
  /** Empty when it is about none. */
  readonly vmId: string
  readonly message: string
  readonly metadata: Readonly<Record<string, string>>
}

/** An event as it was told. */
export interface NodeEvent extends EventDraft {
  /** Its number in decimal: increasing, also over restarts of the agent, where it may leave a gap. */
  readonly id: string
  /** ms since the epoch. */
  readonly timestamp: number
}

/** Trouble that a running VM has: it stays until the VM is off. */
export interface VmProblem {
  readonly kind: 'io-error' | 'memory-failure'
  /** For people. */
  readonly message: string
  /** Id of the disk; empty for what concerns no disk. */
  readonly disk: string
  readonly since: number
  readonly lastAt: number
  readonly count: number
}

/** Which events are wanted. */
export interface EventFilter {
  readonly vmId?: string
  /** At least this one. */
  readonly level?: EventLevel
  readonly category?: EventCategory
  readonly type?: NodeEventType
}

const RANK: Readonly<Record<EventLevel, number>> = { info: 0, warning: 1, error: 2 }

/** Whether an event is among those that are wanted. */
export function matchesEvent({ vmId, level, category, type }: EventFilter, event: NodeEvent): boolean {
  const own = EVENT_KINDS[event.type]
  return (
    (vmId === undefined || vmId === event.vmId) &&
    (level === undefined || RANK[own.level] >= RANK[level]) &&
    (category === undefined || category === own.category) &&
    (type === undefined || type === event.type)
  )
}
