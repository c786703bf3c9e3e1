// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * Health of a pool as the heartbeat reports it.
 */
export const StoragePoolHealth = {
  /**
   * No recent observation.
   */
  STORAGE_POOL_HEALTH_UNKNOWN: 0,
  STORAGE_POOL_HEALTH_HEALTHY: 1,
  /**
   * Usable, but something needs attention.
   */
  STORAGE_POOL_HEALTH_DEGRADED: 2,
  /**
   * Not usable.
   */
  STORAGE_POOL_HEALTH_ERROR: 3,
  /**
   * Its storage is not attached to this host.
   */
  STORAGE_POOL_HEALTH_UNMOUNTED: 4,
} as const;

/**
 * Health of a pool as the heartbeat reports it.
 */
export type StoragePoolHealth =
  /**
   * No recent observation.
   */
  | 'STORAGE_POOL_HEALTH_UNKNOWN'
  | 0
  | 'STORAGE_POOL_HEALTH_HEALTHY'
  | 1
  /**
   * Usable, but something needs attention.
   */
  | 'STORAGE_POOL_HEALTH_DEGRADED'
  | 2
  /**
   * Not usable.
   */
  | 'STORAGE_POOL_HEALTH_ERROR'
  | 3
  /**
   * Its storage is not attached to this host.
   */
  | 'STORAGE_POOL_HEALTH_UNMOUNTED'
  | 4

/**
 * Health of a pool as the heartbeat reports it.
 */
export type StoragePoolHealth__Output = typeof StoragePoolHealth[keyof typeof StoragePoolHealth]
