// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { StoragePoolType as _limiquantix_node_v1_StoragePoolType, StoragePoolType__Output as _limiquantix_node_v1_StoragePoolType__Output } from '../../../limiquantix/node/v1/StoragePoolType.ts';
import type { StoragePoolHealth as _limiquantix_node_v1_StoragePoolHealth, StoragePoolHealth__Output as _limiquantix_node_v1_StoragePoolHealth__Output } from '../../../limiquantix/node/v1/StoragePoolHealth.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * A pool and the capacity its last probe saw.
 */
export interface StoragePoolInfoResponse {
  'poolId'?: (string);
  'type'?: (_limiquantix_node_v1_StoragePoolType);
  /**
   * Directory of a file pool; empty for others.
   */
  'mountPath'?: (string);
  'devicePath'?: (string);
  'rbdPool'?: (string);
  'totalBytes'?: (number | string | Long);
  'availableBytes'?: (number | string | Long);
  'usedBytes'?: (number | string | Long);
  'volumeCount'?: (number);
  /**
   * Health of the last probe, with hysteresis.
   */
  'health'?: (_limiquantix_node_v1_StoragePoolHealth);
  /**
   * Upper-snake reason of the health; `OK` when healthy.
   */
  'healthReason'?: (string);
  /**
   * What an admin should know; empty when there is nothing to say.
   */
  'message'?: (string);
  /**
   * When the probe that the numbers come from ended.
   */
  'observedAt'?: (_google_protobuf_Timestamp | null);
  /**
   * How long that probe took.
   */
  'probeLatencyMs'?: (number | string | Long);
}

/**
 * A pool and the capacity its last probe saw.
 */
export interface StoragePoolInfoResponse__Output {
  'poolId': (string);
  'type': (_limiquantix_node_v1_StoragePoolType__Output);
  /**
   * Directory of a file pool; empty for others.
   */
  'mountPath': (string);
  'devicePath': (string);
  'rbdPool': (string);
  'totalBytes': (number);
  'availableBytes': (number);
  'usedBytes': (number);
  'volumeCount': (number);
  /**
   * Health of the last probe, with hysteresis.
   */
  'health': (_limiquantix_node_v1_StoragePoolHealth__Output);
  /**
   * Upper-snake reason of the health; `OK` when healthy.
   */
  'healthReason': (string);
  /**
   * What an admin should know; empty when there is nothing to say.
   */
  'message': (string);
  /**
   * When the probe that the numbers come from ended.
   */
  'observedAt': (_google_protobuf_Timestamp__Output | null);
  /**
   * How long that probe took.
   */
  'probeLatencyMs': (number);
}
