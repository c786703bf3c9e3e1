// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { SnapshotResponse as _limiquantix_node_v1_SnapshotResponse, SnapshotResponse__Output as _limiquantix_node_v1_SnapshotResponse__Output } from '../../../limiquantix/node/v1/SnapshotResponse.ts';

/**
 * Snapshots of a VM.
 */
export interface ListSnapshotsResponse {
  'snapshots'?: (_limiquantix_node_v1_SnapshotResponse)[];
}

/**
 * Snapshots of a VM.
 */
export interface ListSnapshotsResponse__Output {
  'snapshots': (_limiquantix_node_v1_SnapshotResponse__Output)[];
}
