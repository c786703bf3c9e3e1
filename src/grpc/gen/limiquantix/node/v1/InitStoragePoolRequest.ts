// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { StoragePoolType as _limiquantix_node_v1_StoragePoolType, StoragePoolType__Output as _limiquantix_node_v1_StoragePoolType__Output } from '../../../limiquantix/node/v1/StoragePoolType.ts';
import type { StoragePoolConfig as _limiquantix_node_v1_StoragePoolConfig, StoragePoolConfig__Output as _limiquantix_node_v1_StoragePoolConfig__Output } from '../../../limiquantix/node/v1/StoragePoolConfig.ts';

/**
 * A pool to make usable.
 */
export interface InitStoragePoolRequest {
  /**
   * UUID or id of the control plane.
   */
  'poolId'?: (string);
  'type'?: (_limiquantix_node_v1_StoragePoolType);
  'config'?: (_limiquantix_node_v1_StoragePoolConfig | null);
}

/**
 * A pool to make usable.
 */
export interface InitStoragePoolRequest__Output {
  /**
   * UUID or id of the control plane.
   */
  'poolId': (string);
  'type': (_limiquantix_node_v1_StoragePoolType__Output);
  'config': (_limiquantix_node_v1_StoragePoolConfig__Output | null);
}
