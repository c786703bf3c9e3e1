// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { NicSpec as _limiquantix_node_v1_NicSpec, NicSpec__Output as _limiquantix_node_v1_NicSpec__Output } from '../../../limiquantix/node/v1/NicSpec.ts';

/**
 * A network interface to add.
 */
export interface AttachNICRequest {
  'vmId'?: (string);
  'nic'?: (_limiquantix_node_v1_NicSpec | null);
}

/**
 * A network interface to add.
 */
export interface AttachNICRequest__Output {
  'vmId': (string);
  'nic': (_limiquantix_node_v1_NicSpec__Output | null);
}
