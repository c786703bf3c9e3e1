// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * Power state of a VM.
 */
export const PowerState = {
  POWER_STATE_UNKNOWN: 0,
  POWER_STATE_RUNNING: 1,
  POWER_STATE_STOPPED: 2,
  POWER_STATE_PAUSED: 3,
  POWER_STATE_SUSPENDED: 4,
  POWER_STATE_CRASHED: 5,
} as const;

/**
 * Power state of a VM.
 */
export type PowerState =
  | 'POWER_STATE_UNKNOWN'
  | 0
  | 'POWER_STATE_RUNNING'
  | 1
  | 'POWER_STATE_STOPPED'
  | 2
  | 'POWER_STATE_PAUSED'
  | 3
  | 'POWER_STATE_SUSPENDED'
  | 4
  | 'POWER_STATE_CRASHED'
  | 5

/**
 * Power state of a VM.
 */
export type PowerState__Output = typeof PowerState[keyof typeof PowerState]
