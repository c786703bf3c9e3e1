// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * Kinds of events. What has no number here is UNKNOWN; `event` in the metadata names every kind.
 */
export const EventType = {
  EVENT_TYPE_UNKNOWN: 0,
  EVENT_TYPE_VM_STARTED: 1,
  EVENT_TYPE_VM_STOPPED: 2,
  EVENT_TYPE_VM_PAUSED: 3,
  EVENT_TYPE_VM_RESUMED: 4,
  EVENT_TYPE_VM_CRASHED: 5,
  EVENT_TYPE_VM_REBOOTED: 6,
  EVENT_TYPE_VM_MIGRATED_OUT: 7,
  EVENT_TYPE_VM_MIGRATED_IN: 8,
  EVENT_TYPE_SNAPSHOT_CREATED: 9,
  EVENT_TYPE_SNAPSHOT_REVERTED: 10,
  EVENT_TYPE_SNAPSHOT_DELETED: 11,
  EVENT_TYPE_DISK_ATTACHED: 12,
  EVENT_TYPE_DISK_DETACHED: 13,
  EVENT_TYPE_NIC_ATTACHED: 14,
  EVENT_TYPE_NIC_DETACHED: 15,
  EVENT_TYPE_NODE_OVERLOADED: 16,
  EVENT_TYPE_NODE_RECOVERED: 17,
} as const;

/**
 * Kinds of events. What has no number here is UNKNOWN; `event` in the metadata names every kind.
 */
export type EventType =
  | 'EVENT_TYPE_UNKNOWN'
  | 0
  | 'EVENT_TYPE_VM_STARTED'
  | 1
  | 'EVENT_TYPE_VM_STOPPED'
  | 2
  | 'EVENT_TYPE_VM_PAUSED'
  | 3
  | 'EVENT_TYPE_VM_RESUMED'
  | 4
  | 'EVENT_TYPE_VM_CRASHED'
  | 5
  | 'EVENT_TYPE_VM_REBOOTED'
  | 6
  | 'EVENT_TYPE_VM_MIGRATED_OUT'
  | 7
  | 'EVENT_TYPE_VM_MIGRATED_IN'
  | 8
  | 'EVENT_TYPE_SNAPSHOT_CREATED'
  | 9
  | 'EVENT_TYPE_SNAPSHOT_REVERTED'
  | 10
  | 'EVENT_TYPE_SNAPSHOT_DELETED'
  | 11
  | 'EVENT_TYPE_DISK_ATTACHED'
  | 12
  | 'EVENT_TYPE_DISK_DETACHED'
  | 13
  | 'EVENT_TYPE_NIC_ATTACHED'
  | 14
  | 'EVENT_TYPE_NIC_DETACHED'
  | 15
  | 'EVENT_TYPE_NODE_OVERLOADED'
  | 16
  | 'EVENT_TYPE_NODE_RECOVERED'
  | 17

/**
 * Kinds of events. What has no number here is UNKNOWN; `event` in the metadata names every kind.
 */
export type EventType__Output = typeof EventType[keyof typeof EventType]
