// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * By what a directory is sorted; equal entries by name.
 */
export const StoragePoolFileOrder = {
  /**
   * Without regard to case.
   */
  STORAGE_POOL_FILE_ORDER_NAME: 0,
  STORAGE_POOL_FILE_ORDER_SIZE: 1,
  STORAGE_POOL_FILE_ORDER_MTIME: 2,
  /**
   * By extension.
   */
  STORAGE_POOL_FILE_ORDER_TYPE: 3,
} as const;

/**
 * By what a directory is sorted; equal entries by name.
 */
export type StoragePoolFileOrder =
  /**
   * Without regard to case.
   */
  | 'STORAGE_POOL_FILE_ORDER_NAME'
  | 0
  | 'STORAGE_POOL_FILE_ORDER_SIZE'
  | 1
  | 'STORAGE_POOL_FILE_ORDER_MTIME'
  | 2
  /**
   * By extension.
   */
  | 'STORAGE_POOL_FILE_ORDER_TYPE'
  | 3

/**
 * By what a directory is sorted; equal entries by name.
 */
export type StoragePoolFileOrder__Output = typeof StoragePoolFileOrder[keyof typeof StoragePoolFileOrder]
