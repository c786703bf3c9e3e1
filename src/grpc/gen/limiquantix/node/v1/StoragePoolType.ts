// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * Kind of a pool.
 */
export const StoragePoolType = {
  /**
   * Refused.
   */
  STORAGE_POOL_TYPE_UNSPECIFIED: 0,
  STORAGE_POOL_TYPE_LOCAL_DIR: 1,
  STORAGE_POOL_TYPE_LOCAL_LVM: 2,
  STORAGE_POOL_TYPE_NFS: 3,
  STORAGE_POOL_TYPE_CEPH_RBD: 4,
  STORAGE_POOL_TYPE_CEPH_FS: 5,
  STORAGE_POOL_TYPE_ISCSI: 6,
} as const;

/**
 * Kind of a pool.
 */
export type StoragePoolType =
  /**
   * Refused.
   */
  | 'STORAGE_POOL_TYPE_UNSPECIFIED'
  | 0
  | 'STORAGE_POOL_TYPE_LOCAL_DIR'
  | 1
  | 'STORAGE_POOL_TYPE_LOCAL_LVM'
  | 2
  | 'STORAGE_POOL_TYPE_NFS'
  | 3
  | 'STORAGE_POOL_TYPE_CEPH_RBD'
  | 4
  | 'STORAGE_POOL_TYPE_CEPH_FS'
  | 5
  | 'STORAGE_POOL_TYPE_ISCSI'
  | 6

/**
 * Kind of a pool.
 */
export type StoragePoolType__Output = typeof StoragePoolType[keyof typeof StoragePoolType]
