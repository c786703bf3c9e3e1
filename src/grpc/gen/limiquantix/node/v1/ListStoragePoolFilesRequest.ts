// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { StoragePoolFileOrder as _limiquantix_node_v1_StoragePoolFileOrder, StoragePoolFileOrder__Output as _limiquantix_node_v1_StoragePoolFileOrder__Output } from '../../../limiquantix/node/v1/StoragePoolFileOrder.ts';

/**
 * A directory of a pool.
 */
export interface ListStoragePoolFilesRequest {
  'poolId'?: (string);
  /**
   * Relative to the root of the pool; empty = the root.
   */
  'path'?: (string);
  /**
   * First entry of the answer, from 0.
   */
  'offset'?: (number);
  /**
   * Most entries of the answer; 0 = all.
   */
  'limit'?: (number);
  /**
   * Directories always come first.
   */
  'order'?: (_limiquantix_node_v1_StoragePoolFileOrder);
  'descending'?: (boolean);
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
  /**
   * First entry of the answer, from 0.
   */
  'offset': (number);
  /**
   * Most entries of the answer; 0 = all.
   */
  'limit': (number);
  /**
   * Directories always come first.
   */
  'order': (_limiquantix_node_v1_StoragePoolFileOrder__Output);
  'descending': (boolean);
}
