// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';
import type { DiskMetrics as _limiquantix_node_v1_DiskMetrics, DiskMetrics__Output as _limiquantix_node_v1_DiskMetrics__Output } from '../../../limiquantix/node/v1/DiskMetrics.ts';
import type { NetworkMetrics as _limiquantix_node_v1_NetworkMetrics, NetworkMetrics__Output as _limiquantix_node_v1_NetworkMetrics__Output } from '../../../limiquantix/node/v1/NetworkMetrics.ts';
import type { VMMetrics as _limiquantix_node_v1_VMMetrics, VMMetrics__Output as _limiquantix_node_v1_VMMetrics__Output } from '../../../limiquantix/node/v1/VMMetrics.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * Metrics of the host and its VMs.
 */
export interface NodeMetrics {
  'timestamp'?: (_google_protobuf_Timestamp | null);
  'cpuUsagePercent'?: (number | string);
  'memoryUsedBytes'?: (number | string | Long);
  'memoryTotalBytes'?: (number | string | Long);
  'disks'?: (_limiquantix_node_v1_DiskMetrics)[];
  'networks'?: (_limiquantix_node_v1_NetworkMetrics)[];
  'vms'?: (_limiquantix_node_v1_VMMetrics)[];
}

/**
 * Metrics of the host and its VMs.
 */
export interface NodeMetrics__Output {
  'timestamp': (_google_protobuf_Timestamp__Output | null);
  'cpuUsagePercent': (number);
  'memoryUsedBytes': (number);
  'memoryTotalBytes': (number);
  'disks': (_limiquantix_node_v1_DiskMetrics__Output)[];
  'networks': (_limiquantix_node_v1_NetworkMetrics__Output)[];
  'vms': (_limiquantix_node_v1_VMMetrics__Output)[];
}
