// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * Bus of a disk. Control planes cast another enumeration into this field: 3 and unknown values become SATA, because
 * the q35 machine has no IDE.
 */
export const DiskBus = {
  DISK_BUS_VIRTIO: 0,
  DISK_BUS_SCSI: 1,
  DISK_BUS_SATA: 2,
  /**
   * Served as SATA.
   */
  DISK_BUS_IDE: 3,
} as const;

/**
 * Bus of a disk. Control planes cast another enumeration into this field: 3 and unknown values become SATA, because
 * the q35 machine has no IDE.
 */
export type DiskBus =
  | 'DISK_BUS_VIRTIO'
  | 0
  | 'DISK_BUS_SCSI'
  | 1
  | 'DISK_BUS_SATA'
  | 2
  /**
   * Served as SATA.
   */
  | 'DISK_BUS_IDE'
  | 3

/**
 * Bus of a disk. Control planes cast another enumeration into this field: 3 and unknown values become SATA, because
 * the q35 machine has no IDE.
 */
export type DiskBus__Output = typeof DiskBus[keyof typeof DiskBus]
