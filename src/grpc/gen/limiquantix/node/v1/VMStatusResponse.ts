// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { PowerState as _limiquantix_node_v1_PowerState, PowerState__Output as _limiquantix_node_v1_PowerState__Output } from '../../../limiquantix/node/v1/PowerState.ts';
import type { ResourceUsage as _limiquantix_node_v1_ResourceUsage, ResourceUsage__Output as _limiquantix_node_v1_ResourceUsage__Output } from '../../../limiquantix/node/v1/ResourceUsage.ts';
import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';
import type { VMDisk as _limiquantix_node_v1_VMDisk, VMDisk__Output as _limiquantix_node_v1_VMDisk__Output } from '../../../limiquantix/node/v1/VMDisk.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * State of a VM.
 */
export interface VMStatusResponse {
  'vmId'?: (string);
  'name'?: (string);
  'state'?: (_limiquantix_node_v1_PowerState);
  /**
   * Absent when the VM is off.
   */
  'resourceUsage'?: (_limiquantix_node_v1_ResourceUsage | null);
  /**
   * When the present run began; absent when unknown.
   */
  'startedAt'?: (_google_protobuf_Timestamp | null);
  /**
   * True for a domain that this agent made.
   */
  'managed'?: (boolean);
  /**
   * Total vCPUs.
   */
  'cpuCount'?: (number);
  /**
   * Configured memory.
   */
  'memoryBytes'?: (number | string | Long);
  /**
   * Labels given to CreateVM.
   */
  'labels'?: ({[key: string]: string});
  /**
   * Disks in target order.
   */
  'disks'?: (_limiquantix_node_v1_VMDisk)[];
  /**
   * When libvirt said so.
   */
  'observedAt'?: (_google_protobuf_Timestamp | null);
}

/**
 * State of a VM.
 */
export interface VMStatusResponse__Output {
  'vmId': (string);
  'name': (string);
  'state': (_limiquantix_node_v1_PowerState__Output);
  /**
   * Absent when the VM is off.
   */
  'resourceUsage': (_limiquantix_node_v1_ResourceUsage__Output | null);
  /**
   * When the present run began; absent when unknown.
   */
  'startedAt': (_google_protobuf_Timestamp__Output | null);
  /**
   * True for a domain that this agent made.
   */
  'managed': (boolean);
  /**
   * Total vCPUs.
   */
  'cpuCount': (number);
  /**
   * Configured memory.
   */
  'memoryBytes': (number);
  /**
   * Labels given to CreateVM.
   */
  'labels': ({[key: string]: string});
  /**
   * Disks in target order.
   */
  'disks': (_limiquantix_node_v1_VMDisk__Output)[];
  /**
   * When libvirt said so.
   */
  'observedAt': (_google_protobuf_Timestamp__Output | null);
}
