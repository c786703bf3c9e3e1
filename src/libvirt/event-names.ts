import { VIR_DOMAIN_EVENT_ID } from './constants.ts'
import type { EventMessages } from './wire/procedures.gen.ts'

/** Events are numbered per family, and so are the ids of their registrations. */
export type EventFamily = 'domain' | 'network' | 'pool' | 'nodedev' | 'secret' | 'qemu'

interface EventInfo {
  readonly family: EventFamily
  readonly eventId: number
  readonly message: keyof EventMessages
}

const event = <M extends keyof EventMessages>(family: EventFamily, eventId: number, message: M) => ({
  family,
  eventId,
  message,
})
const ID = VIR_DOMAIN_EVENT_ID

/** Every event that can be subscribed to, and the message it comes in. */
export const EVENTS = {
  'domain:LIFECYCLE': event('domain', ID.LIFECYCLE, 'remote:DOMAIN_EVENT_CALLBACK_LIFECYCLE'),
  'domain:REBOOT': event('domain', ID.REBOOT, 'remote:DOMAIN_EVENT_CALLBACK_REBOOT'),
  'domain:RTC_CHANGE': event('domain', ID.RTC_CHANGE, 'remote:DOMAIN_EVENT_CALLBACK_RTC_CHANGE'),
  'domain:WATCHDOG': event('domain', ID.WATCHDOG, 'remote:DOMAIN_EVENT_CALLBACK_WATCHDOG'),
  'domain:IO_ERROR': event('domain', ID.IO_ERROR, 'remote:DOMAIN_EVENT_CALLBACK_IO_ERROR'),
  'domain:GRAPHICS': event('domain', ID.GRAPHICS, 'remote:DOMAIN_EVENT_CALLBACK_GRAPHICS'),
  'domain:IO_ERROR_REASON': event('domain', ID.IO_ERROR_REASON, 'remote:DOMAIN_EVENT_CALLBACK_IO_ERROR_REASON'),
  'domain:CONTROL_ERROR': event('domain', ID.CONTROL_ERROR, 'remote:DOMAIN_EVENT_CALLBACK_CONTROL_ERROR'),
  'domain:BLOCK_JOB': event('domain', ID.BLOCK_JOB, 'remote:DOMAIN_EVENT_CALLBACK_BLOCK_JOB'),
  'domain:DISK_CHANGE': event('domain', ID.DISK_CHANGE, 'remote:DOMAIN_EVENT_CALLBACK_DISK_CHANGE'),
  'domain:TRAY_CHANGE': event('domain', ID.TRAY_CHANGE, 'remote:DOMAIN_EVENT_CALLBACK_TRAY_CHANGE'),
  'domain:PMWAKEUP': event('domain', ID.PMWAKEUP, 'remote:DOMAIN_EVENT_CALLBACK_PMWAKEUP'),
  'domain:PMSUSPEND': event('domain', ID.PMSUSPEND, 'remote:DOMAIN_EVENT_CALLBACK_PMSUSPEND'),
  'domain:BALLOON_CHANGE': event('domain', ID.BALLOON_CHANGE, 'remote:DOMAIN_EVENT_CALLBACK_BALLOON_CHANGE'),
  'domain:PMSUSPEND_DISK': event('domain', ID.PMSUSPEND_DISK, 'remote:DOMAIN_EVENT_CALLBACK_PMSUSPEND_DISK'),
  'domain:DEVICE_REMOVED': event('domain', ID.DEVICE_REMOVED, 'remote:DOMAIN_EVENT_CALLBACK_DEVICE_REMOVED'),
  'domain:BLOCK_JOB_2': event('domain', ID.BLOCK_JOB_2, 'remote:DOMAIN_EVENT_BLOCK_JOB_2'),
  'domain:TUNABLE': event('domain', ID.TUNABLE, 'remote:DOMAIN_EVENT_CALLBACK_TUNABLE'),
  'domain:AGENT_LIFECYCLE': event('domain', ID.AGENT_LIFECYCLE, 'remote:DOMAIN_EVENT_CALLBACK_AGENT_LIFECYCLE'),
  'domain:DEVICE_ADDED': event('domain', ID.DEVICE_ADDED, 'remote:DOMAIN_EVENT_CALLBACK_DEVICE_ADDED'),
  'domain:MIGRATION_ITERATION': event(
    'domain',
    ID.MIGRATION_ITERATION,
    'remote:DOMAIN_EVENT_CALLBACK_MIGRATION_ITERATION',
  ),
  'domain:JOB_COMPLETED': event('domain', ID.JOB_COMPLETED, 'remote:DOMAIN_EVENT_CALLBACK_JOB_COMPLETED'),
  'domain:DEVICE_REMOVAL_FAILED': event(
    'domain',
    ID.DEVICE_REMOVAL_FAILED,
    'remote:DOMAIN_EVENT_CALLBACK_DEVICE_REMOVAL_FAILED',
  ),
  'domain:METADATA_CHANGE': event('domain', ID.METADATA_CHANGE, 'remote:DOMAIN_EVENT_CALLBACK_METADATA_CHANGE'),
  'domain:BLOCK_THRESHOLD': event('domain', ID.BLOCK_THRESHOLD, 'remote:DOMAIN_EVENT_BLOCK_THRESHOLD'),
  'domain:MEMORY_FAILURE': event('domain', ID.MEMORY_FAILURE, 'remote:DOMAIN_EVENT_MEMORY_FAILURE'),
  'domain:MEMORY_DEVICE_SIZE_CHANGE': event(
    'domain',
    ID.MEMORY_DEVICE_SIZE_CHANGE,
    'remote:DOMAIN_EVENT_MEMORY_DEVICE_SIZE_CHANGE',
  ),
  'network:LIFECYCLE': event('network', 0, 'remote:NETWORK_EVENT_LIFECYCLE'),
  'pool:LIFECYCLE': event('pool', 0, 'remote:STORAGE_POOL_EVENT_LIFECYCLE'),
  'pool:REFRESH': event('pool', 1, 'remote:STORAGE_POOL_EVENT_REFRESH'),
  'nodedev:LIFECYCLE': event('nodedev', 0, 'remote:NODE_DEVICE_EVENT_LIFECYCLE'),
  'nodedev:UPDATE': event('nodedev', 1, 'remote:NODE_DEVICE_EVENT_UPDATE'),
  'secret:LIFECYCLE': event('secret', 0, 'remote:SECRET_EVENT_LIFECYCLE'),
  'secret:VALUE_CHANGED': event('secret', 1, 'remote:SECRET_EVENT_VALUE_CHANGED'),
  'qemu:MONITOR_EVENT': event('qemu', 0, 'qemu:DOMAIN_MONITOR_EVENT'),
} as const satisfies Record<string, EventInfo>

/** An event under libvirt's own name, with its family in front. */
export type EventName = keyof typeof EVENTS

// Older domain events wrap their message once more, newer ones carry its fields beside the id of the registration.
type Unwrapped<M> = M extends { readonly msg: infer Inner } ? Inner : Omit<M, 'callbackID'>

/** What a listener of `E` gets: libvirt's message without the id of the registration. */
export type EventPayload<E extends EventName> = Unwrapped<EventMessages[(typeof EVENTS)[E]['message']]>

/** Families by the name of the message on the wire. */
export const FAMILY_OF_MESSAGE: ReadonlyMap<string, EventFamily> = new Map(
  Object.values(EVENTS).map((info) => [info.message, info.family]),
)
