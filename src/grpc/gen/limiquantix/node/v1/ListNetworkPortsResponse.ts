// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { NetworkPortInfo as _limiquantix_node_v1_NetworkPortInfo, NetworkPortInfo__Output as _limiquantix_node_v1_NetworkPortInfo__Output } from '../../../limiquantix/node/v1/NetworkPortInfo.ts';

/**
 * Every port of this host.
 */
export interface ListNetworkPortsResponse {
  'ports'?: (_limiquantix_node_v1_NetworkPortInfo)[];
}

/**
 * Every port of this host.
 */
export interface ListNetworkPortsResponse__Output {
  'ports': (_limiquantix_node_v1_NetworkPortInfo__Output)[];
}
