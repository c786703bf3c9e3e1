// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { StoragePoolInfoResponse as _limiquantix_node_v1_StoragePoolInfoResponse, StoragePoolInfoResponse__Output as _limiquantix_node_v1_StoragePoolInfoResponse__Output } from '../../../limiquantix/node/v1/StoragePoolInfoResponse.ts';

/**
 * Every pool of this host.
 */
export interface ListStoragePoolsResponse {
  'pools'?: (_limiquantix_node_v1_StoragePoolInfoResponse)[];
}

/**
 * Every pool of this host.
 */
export interface ListStoragePoolsResponse__Output {
  'pools': (_limiquantix_node_v1_StoragePoolInfoResponse__Output)[];
}
