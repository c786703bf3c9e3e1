// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';
import type { EventType as _limiquantix_node_v1_EventType, EventType__Output as _limiquantix_node_v1_EventType__Output } from '../../../limiquantix/node/v1/EventType.ts';

/**
 * Something that happened on this host.
 */
export interface NodeEvent {
  /**
   * Increasing number in decimal; a caller that comes back names the last one it had in its metadata (last-event-id).
   */
  'id'?: (string);
  'timestamp'?: (_google_protobuf_Timestamp | null);
  'type'?: (_limiquantix_node_v1_EventType);
  'vmId'?: (string);
  'message'?: (string);
  'metadata'?: ({[key: string]: string});
}

/**
 * Something that happened on this host.
 */
export interface NodeEvent__Output {
  /**
   * Increasing number in decimal; a caller that comes back names the last one it had in its metadata (last-event-id).
   */
  'id': (string);
  'timestamp': (_google_protobuf_Timestamp__Output | null);
  'type': (_limiquantix_node_v1_EventType__Output);
  'vmId': (string);
  'message': (string);
  'metadata': ({[key: string]: string});
}
