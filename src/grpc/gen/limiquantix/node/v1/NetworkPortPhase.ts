// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * State of a port.
 */
export const NetworkPortPhase = {
  NETWORK_PORT_PHASE_UNKNOWN: 0,
  NETWORK_PORT_PHASE_PENDING: 1,
  NETWORK_PORT_PHASE_BUILDING: 2,
  NETWORK_PORT_PHASE_ACTIVE: 3,
  NETWORK_PORT_PHASE_DOWN: 4,
  NETWORK_PORT_PHASE_ERROR: 5,
} as const;

/**
 * State of a port.
 */
export type NetworkPortPhase =
  | 'NETWORK_PORT_PHASE_UNKNOWN'
  | 0
  | 'NETWORK_PORT_PHASE_PENDING'
  | 1
  | 'NETWORK_PORT_PHASE_BUILDING'
  | 2
  | 'NETWORK_PORT_PHASE_ACTIVE'
  | 3
  | 'NETWORK_PORT_PHASE_DOWN'
  | 4
  | 'NETWORK_PORT_PHASE_ERROR'
  | 5

/**
 * State of a port.
 */
export type NetworkPortPhase__Output = typeof NetworkPortPhase[keyof typeof NetworkPortPhase]
