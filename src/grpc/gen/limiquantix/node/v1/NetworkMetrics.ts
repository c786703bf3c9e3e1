// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Counters of a host interface.
 */
export interface NetworkMetrics {
  'interface'?: (string);
  'rxBytes'?: (number | string | Long);
  'txBytes'?: (number | string | Long);
  'rxPackets'?: (number | string | Long);
  'txPackets'?: (number | string | Long);
  'rxErrors'?: (number | string | Long);
  'txErrors'?: (number | string | Long);
}

/**
 * Counters of a host interface.
 */
export interface NetworkMetrics__Output {
  'interface': (string);
  'rxBytes': (number);
  'txBytes': (number);
  'rxPackets': (number);
  'txPackets': (number);
  'rxErrors': (number);
  'txErrors': (number);
}
