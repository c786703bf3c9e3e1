// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * Model of a NIC. Control planes cast another enumeration into this field: 2 becomes e1000e and 3 vmxnet3.
 */
export const NicModel = {
  NIC_MODEL_VIRTIO: 0,
  NIC_MODEL_E1000: 1,
  /**
   * Served as e1000e.
   */
  NIC_MODEL_RTL8139: 2,
} as const;

/**
 * Model of a NIC. Control planes cast another enumeration into this field: 2 becomes e1000e and 3 vmxnet3.
 */
export type NicModel =
  | 'NIC_MODEL_VIRTIO'
  | 0
  | 'NIC_MODEL_E1000'
  | 1
  /**
   * Served as e1000e.
   */
  | 'NIC_MODEL_RTL8139'
  | 2

/**
 * Model of a NIC. Control planes cast another enumeration into this field: 2 becomes e1000e and 3 vmxnet3.
 */
export type NicModel__Output = typeof NicModel[keyof typeof NicModel]
