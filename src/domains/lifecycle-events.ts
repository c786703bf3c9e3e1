import type { NodeEventType } from '../core/events.ts'
import type { PowerState } from '../core/model.ts'
import {
  VIR_DOMAIN_EVENT,
  VIR_DOMAIN_EVENT_RESUMED,
  VIR_DOMAIN_EVENT_STARTED,
  VIR_DOMAIN_EVENT_STOPPED,
  VIR_DOMAIN_EVENT_SUSPENDED,
} from '../libvirt/constants.ts'

/** What a lifecycle event of libvirt means for us. */
export interface LifecycleMeaning {
  /** State after the event; undefined when the event does not tell. */
  readonly state: PowerState | undefined
  /** Event for control planes; undefined when it is of no interest to them. */
  readonly type: NodeEventType | undefined
  /** Word for the message and metadata. */
  readonly detail: string
}

const STARTED_DETAILS: Readonly<Record<number, string>> = {
  [VIR_DOMAIN_EVENT_STARTED.MIGRATED]: 'migrated here',
  [VIR_DOMAIN_EVENT_STARTED.RESTORED]: 'restored from its saved state',
  [VIR_DOMAIN_EVENT_STARTED.FROM_SNAPSHOT]: 'started from a snapshot',
  [VIR_DOMAIN_EVENT_STARTED.WAKEUP]: 'woken up',
}

const STOPPED_DETAILS: Readonly<Record<number, string>> = {
  [VIR_DOMAIN_EVENT_STOPPED.SHUTDOWN]: 'shut down',
  [VIR_DOMAIN_EVENT_STOPPED.DESTROYED]: 'powered off',
  [VIR_DOMAIN_EVENT_STOPPED.CRASHED]: 'crashed',
  [VIR_DOMAIN_EVENT_STOPPED.MIGRATED]: 'migrated to another host',
  [VIR_DOMAIN_EVENT_STOPPED.SAVED]: 'saved',
  [VIR_DOMAIN_EVENT_STOPPED.FAILED]: 'QEMU ended unexpectedly',
  [VIR_DOMAIN_EVENT_STOPPED.FROM_SNAPSHOT]: 'reverted to a snapshot',
}

const SUSPENDED_DETAILS: Readonly<Record<number, string>> = {
  [VIR_DOMAIN_EVENT_SUSPENDED.IOERROR]: 'paused because a disk failed or its storage is full',
  [VIR_DOMAIN_EVENT_SUSPENDED.WATCHDOG]: 'paused by its watchdog',
  [VIR_DOMAIN_EVENT_SUSPENDED.MIGRATED]: 'paused by a migration',
  [VIR_DOMAIN_EVENT_SUSPENDED.POSTCOPY_FAILED]: 'paused because its migration broke off',
}

/** Meaning of a lifecycle event (virDomainEventType and its detail). */
export function lifecycleMeaning(event: number, detail: number): LifecycleMeaning {
  switch (event) {
    case VIR_DOMAIN_EVENT.STARTED: {
      const woken = detail === VIR_DOMAIN_EVENT_STARTED.WAKEUP
      const how = STARTED_DETAILS[detail] ?? 'started'
      return { state: 'RUNNING', type: woken ? 'VM_RESUMED' : 'VM_STARTED', detail: how }
    }
    case VIR_DOMAIN_EVENT.SUSPENDED:
      return { state: 'PAUSED', type: 'VM_PAUSED', detail: SUSPENDED_DETAILS[detail] ?? 'paused' }
    case VIR_DOMAIN_EVENT.RESUMED:
      if (detail === VIR_DOMAIN_EVENT_RESUMED.POSTCOPY_FAILED)
        return { state: 'PAUSED', type: 'VM_PAUSED', detail: 'stands still because its migration broke off' }
      return { state: 'RUNNING', type: 'VM_RESUMED', detail: 'resumed' }
    case VIR_DOMAIN_EVENT.STOPPED: {
      // FAILED is a QEMU that went without a word; the reason of the state is then CRASHED.
      const crashed = detail === VIR_DOMAIN_EVENT_STOPPED.CRASHED || detail === VIR_DOMAIN_EVENT_STOPPED.FAILED
      const moved = detail === VIR_DOMAIN_EVENT_STOPPED.MIGRATED
      return {
        state: crashed ? 'CRASHED' : 'STOPPED',
        type: crashed ? 'VM_CRASHED' : moved ? 'VM_MIGRATED_OUT' : 'VM_STOPPED',
        detail: STOPPED_DETAILS[detail] ?? 'stopped',
      }
    }
    case VIR_DOMAIN_EVENT.PMSUSPENDED:
      return { state: 'SUSPENDED', type: 'VM_PAUSED', detail: 'suspended by the guest' }
    case VIR_DOMAIN_EVENT.CRASHED:
      return { state: 'CRASHED', type: 'VM_CRASHED', detail: 'crashed' }
    default:
      return { state: undefined, type: undefined, detail: '' }
  }
}

/** The event that leads from one state to another, for changes that happened while nobody listened. */
export function eventOfChange(before: PowerState, after: PowerState): NodeEventType | undefined {
  if (before === after || before === 'UNKNOWN') return undefined
  if (after === 'RUNNING') return before === 'PAUSED' || before === 'SUSPENDED' ? 'VM_RESUMED' : 'VM_STARTED'
  if (after === 'PAUSED' || after === 'SUSPENDED') return before === 'RUNNING' ? 'VM_PAUSED' : 'VM_STARTED'
  if (after === 'CRASHED') return 'VM_CRASHED'
  return after === 'STOPPED' && before !== 'CRASHED' ? 'VM_STOPPED' : undefined
}
