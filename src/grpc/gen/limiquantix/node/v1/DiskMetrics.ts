// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Counters of a host disk.
 */
export interface DiskMetrics {
  'device'?: (string);
  'readBytes'?: (number | string | Long);
  'writeBytes'?: (number | string | Long);
  'readIops'?: (number | string | Long);
  'writeIops'?: (number | string | Long);
  'utilizationPercent'?: (number | string);
}

/**
 * Counters of a host disk.
 */
export interface DiskMetrics__Output {
  'device': (string);
  'readBytes': (number);
  'writeBytes': (number);
  'readIops': (number);
  'writeIops': (number);
  'utilizationPercent': (number);
}
