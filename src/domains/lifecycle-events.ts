import type { NodeEventType, PowerState } from '../core/model.ts'
import { VIR_DOMAIN_EVENT, VIR_DOMAIN_EVENT_STARTED, VIR_DOMAIN_EVENT_STOPPED } from '../libvirt/constants.ts'

/** What a lifecycle event of libvirt means for us. */
export interface LifecycleMeaning {
  /** State after the event; undefined when the event does not tell. */
  readonly state: PowerState | undefined
  /** Event for control planes; undefined when it is of no interest to them. */
  readonly type: NodeEventType | undefined
  /** Word for the message and metadata. */
  readonly detail: string
}

const STOPPED_DETAILS: Readonly<Record<number, string>> = {
  [VIR_DOMAIN_EVENT_STOPPED.SHUTDOWN]: 'shut down',
  [VIR_DOMAIN_EVENT_STOPPED.DESTROYED]: 'powered off',
  [VIR_DOMAIN_EVENT_STOPPED.CRASHED]: 'crashed',
  [VIR_DOMAIN_EVENT_STOPPED.MIGRATED]: 'migrated',
  [VIR_DOMAIN_EVENT_STOPPED.SAVED]: 'saved',
  [VIR_DOMAIN_EVENT_STOPPED.FAILED]: 'QEMU ended unexpectedly',
  [VIR_DOMAIN_EVENT_STOPPED.FROM_SNAPSHOT]: 'reverted to a snapshot',
}

/** Meaning of a lifecycle event (virDomainEventType and its detail). */
export function lifecycleMeaning(event: number, detail: number): LifecycleMeaning {
  switch (event) {
    case VIR_DOMAIN_EVENT.STARTED: {
      const woken = detail === VIR_DOMAIN_EVENT_STARTED.WAKEUP
      return { state: 'RUNNING', type: woken ? 'VM_RESUMED' : 'VM_STARTED', detail: woken ? 'woken up' : 'started' }
    }
    case VIR_DOMAIN_EVENT.SUSPENDED:
      return { state: 'PAUSED', type: 'VM_PAUSED', detail: 'paused' }
    case VIR_DOMAIN_EVENT.RESUMED:
      return { state: 'RUNNING', type: 'VM_RESUMED', detail: 'resumed' }
    case VIR_DOMAIN_EVENT.STOPPED: {
      // FAILED is a QEMU that went without a word; the reason of the state is then CRASHED.
      const crashed = detail === VIR_DOMAIN_EVENT_STOPPED.CRASHED || detail === VIR_DOMAIN_EVENT_STOPPED.FAILED
      return {
        state: crashed ? 'CRASHED' : 'STOPPED',
        type: crashed ? 'VM_CRASHED' : 'VM_STOPPED',
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
