// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * Names a pool.
 */
export interface StoragePoolIdRequest {
  'poolId'?: (string);
}

/**
 * Names a pool.
 */
export interface StoragePoolIdRequest__Output {
  'poolId': (string);
}
