// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { DiskSpec as _limiquantix_node_v1_DiskSpec, DiskSpec__Output as _limiquantix_node_v1_DiskSpec__Output } from '../../../limiquantix/node/v1/DiskSpec.ts';

/**
 * A disk to add.
 */
export interface AttachDiskRequest {
  'vmId'?: (string);
  'disk'?: (_limiquantix_node_v1_DiskSpec | null);
}

/**
 * A disk to add.
 */
export interface AttachDiskRequest__Output {
  'vmId': (string);
  'disk': (_limiquantix_node_v1_DiskSpec__Output | null);
}
