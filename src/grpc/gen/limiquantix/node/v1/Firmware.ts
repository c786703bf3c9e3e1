// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * Firmware of the guest.
 */
export const Firmware = {
  FIRMWARE_BIOS: 0,
  FIRMWARE_UEFI: 1,
} as const;

/**
 * Firmware of the guest.
 */
export type Firmware =
  | 'FIRMWARE_BIOS'
  | 0
  | 'FIRMWARE_UEFI'
  | 1

/**
 * Firmware of the guest.
 */
export type Firmware__Output = typeof Firmware[keyof typeof Firmware]
