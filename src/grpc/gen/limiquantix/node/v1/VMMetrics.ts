// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Counters of a VM.
 */
export interface VMMetrics {
  'vmId'?: (string);
  'name'?: (string);
  'cpuUsagePercent'?: (number | string);
  'memoryUsedBytes'?: (number | string | Long);
  'diskReadBytes'?: (number | string | Long);
  'diskWriteBytes'?: (number | string | Long);
  'networkRxBytes'?: (number | string | Long);
  'networkTxBytes'?: (number | string | Long);
}

/**
 * Counters of a VM.
 */
export interface VMMetrics__Output {
  'vmId': (string);
  'name': (string);
  'cpuUsagePercent': (number);
  'memoryUsedBytes': (number);
  'diskReadBytes': (number);
  'diskWriteBytes': (number);
  'networkRxBytes': (number);
  'networkTxBytes': (number);
}
