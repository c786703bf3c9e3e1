// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * Counters of a running VM.
 */
export interface ResourceUsage {
  'cpuUsagePercent'?: (number | string);
  'cpuTimeNs'?: (number | string | Long);
  'memoryUsedBytes'?: (number | string | Long);
  'memoryTotalBytes'?: (number | string | Long);
  'diskReadBytes'?: (number | string | Long);
  'diskWriteBytes'?: (number | string | Long);
  'networkRxBytes'?: (number | string | Long);
  'networkTxBytes'?: (number | string | Long);
  /**
   * When the counters were read.
   */
  'observedAt'?: (_google_protobuf_Timestamp | null);
}

/**
 * Counters of a running VM.
 */
export interface ResourceUsage__Output {
  'cpuUsagePercent': (number);
  'cpuTimeNs': (number);
  'memoryUsedBytes': (number);
  'memoryTotalBytes': (number);
  'diskReadBytes': (number);
  'diskWriteBytes': (number);
  'networkRxBytes': (number);
  'networkTxBytes': (number);
  /**
   * When the counters were read.
   */
  'observedAt': (_google_protobuf_Timestamp__Output | null);
}
