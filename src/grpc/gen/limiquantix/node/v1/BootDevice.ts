// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * A class of boot devices.
 */
export const BootDevice = {
  BOOT_DEVICE_DISK: 0,
  BOOT_DEVICE_CDROM: 1,
  BOOT_DEVICE_NETWORK: 2,
} as const;

/**
 * A class of boot devices.
 */
export type BootDevice =
  | 'BOOT_DEVICE_DISK'
  | 0
  | 'BOOT_DEVICE_CDROM'
  | 1
  | 'BOOT_DEVICE_NETWORK'
  | 2

/**
 * A class of boot devices.
 */
export type BootDevice__Output = typeof BootDevice[keyof typeof BootDevice]
