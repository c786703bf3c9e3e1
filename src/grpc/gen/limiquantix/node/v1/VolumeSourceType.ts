// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * What a new volume is made of.
 */
export const VolumeSourceType = {
  VOLUME_SOURCE_EMPTY: 0,
  VOLUME_SOURCE_CLONE: 1,
  VOLUME_SOURCE_IMAGE: 2,
  VOLUME_SOURCE_SNAPSHOT: 3,
} as const;

/**
 * What a new volume is made of.
 */
export type VolumeSourceType =
  | 'VOLUME_SOURCE_EMPTY'
  | 0
  | 'VOLUME_SOURCE_CLONE'
  | 1
  | 'VOLUME_SOURCE_IMAGE'
  | 2
  | 'VOLUME_SOURCE_SNAPSHOT'
  | 3

/**
 * What a new volume is made of.
 */
export type VolumeSourceType__Output = typeof VolumeSourceType[keyof typeof VolumeSourceType]
