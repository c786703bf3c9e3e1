// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';
import type { PowerState as _limiquantix_node_v1_PowerState, PowerState__Output as _limiquantix_node_v1_PowerState__Output } from '../../../limiquantix/node/v1/PowerState.ts';

/**
 * A snapshot.
 */
export interface SnapshotResponse {
  'snapshotId'?: (string);
  'name'?: (string);
  'description'?: (string);
  'createdAt'?: (_google_protobuf_Timestamp | null);
  'vmState'?: (_limiquantix_node_v1_PowerState);
  /**
   * Empty = no parent.
   */
  'parentId'?: (string);
}

/**
 * A snapshot.
 */
export interface SnapshotResponse__Output {
  'snapshotId': (string);
  'name': (string);
  'description': (string);
  'createdAt': (_google_protobuf_Timestamp__Output | null);
  'vmState': (_limiquantix_node_v1_PowerState__Output);
  /**
   * Empty = no parent.
   */
  'parentId': (string);
}
