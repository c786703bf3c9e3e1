// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * Format of a new volume.
 */
export const DiskFormat = {
  DISK_FORMAT_QCOW2: 0,
  DISK_FORMAT_RAW: 1,
} as const;

/**
 * Format of a new volume.
 */
export type DiskFormat =
  | 'DISK_FORMAT_QCOW2'
  | 0
  | 'DISK_FORMAT_RAW'
  | 1

/**
 * Format of a new volume.
 */
export type DiskFormat__Output = typeof DiskFormat[keyof typeof DiskFormat]
