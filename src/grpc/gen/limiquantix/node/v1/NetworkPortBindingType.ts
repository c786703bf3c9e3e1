// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * How a port is bound.
 */
export const NetworkPortBindingType = {
  NETWORK_PORT_BINDING_NORMAL: 0,
  NETWORK_PORT_BINDING_DIRECT: 1,
  NETWORK_PORT_BINDING_MACVTAP: 2,
  NETWORK_PORT_BINDING_VHOST_USER: 3,
} as const;

/**
 * How a port is bound.
 */
export type NetworkPortBindingType =
  | 'NETWORK_PORT_BINDING_NORMAL'
  | 0
  | 'NETWORK_PORT_BINDING_DIRECT'
  | 1
  | 'NETWORK_PORT_BINDING_MACVTAP'
  | 2
  | 'NETWORK_PORT_BINDING_VHOST_USER'
  | 3

/**
 * How a port is bound.
 */
export type NetworkPortBindingType__Output = typeof NetworkPortBindingType[keyof typeof NetworkPortBindingType]
