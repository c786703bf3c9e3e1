// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';

/**
 * Permission to receive a VM.
 */
export interface MigrationToken {
  'token'?: (string);
  'vmId'?: (string);
  'expiresAt'?: (_google_protobuf_Timestamp | null);
}

/**
 * Permission to receive a VM.
 */
export interface MigrationToken__Output {
  'token': (string);
  'vmId': (string);
  'expiresAt': (_google_protobuf_Timestamp__Output | null);
}
