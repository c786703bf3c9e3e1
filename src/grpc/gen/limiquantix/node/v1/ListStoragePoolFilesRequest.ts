// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A directory of a pool.
 */
export interface ListStoragePoolFilesRequest {
  'poolId'?: (string);
  /**
   * Relative to the root of the pool; empty = the root.
   */
  'path'?: (string);
}

/**
 * A directory of a pool.
 */
export interface ListStoragePoolFilesRequest__Output {
  'poolId': (string);
  /**
   * Relative to the root of the pool; empty = the root.
   */
  'path': (string);
}
