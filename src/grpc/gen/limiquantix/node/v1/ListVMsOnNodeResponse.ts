// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { VMStatusResponse as _limiquantix_node_v1_VMStatusResponse, VMStatusResponse__Output as _limiquantix_node_v1_VMStatusResponse__Output } from '../../../limiquantix/node/v1/VMStatusResponse.ts';

/**
 * Every domain of the host.
 */
export interface ListVMsOnNodeResponse {
  'vms'?: (_limiquantix_node_v1_VMStatusResponse)[];
}

/**
 * Every domain of the host.
 */
export interface ListVMsOnNodeResponse__Output {
  'vms': (_limiquantix_node_v1_VMStatusResponse__Output)[];
}
