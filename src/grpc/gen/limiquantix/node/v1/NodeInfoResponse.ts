// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { CpuInfo as _limiquantix_node_v1_CpuInfo, CpuInfo__Output as _limiquantix_node_v1_CpuInfo__Output } from '../../../limiquantix/node/v1/CpuInfo.ts';
import type { MemoryInfo as _limiquantix_node_v1_MemoryInfo, MemoryInfo__Output as _limiquantix_node_v1_MemoryInfo__Output } from '../../../limiquantix/node/v1/MemoryInfo.ts';
import type { StorageInfo as _limiquantix_node_v1_StorageInfo, StorageInfo__Output as _limiquantix_node_v1_StorageInfo__Output } from '../../../limiquantix/node/v1/StorageInfo.ts';
import type { NetworkInfo as _limiquantix_node_v1_NetworkInfo, NetworkInfo__Output as _limiquantix_node_v1_NetworkInfo__Output } from '../../../limiquantix/node/v1/NetworkInfo.ts';
import type { HypervisorCapabilities as _limiquantix_node_v1_HypervisorCapabilities, HypervisorCapabilities__Output as _limiquantix_node_v1_HypervisorCapabilities__Output } from '../../../limiquantix/node/v1/HypervisorCapabilities.ts';

/**
 * The host.
 */
export interface NodeInfoResponse {
  /**
   * The agent's own persistent id.
   */
  'nodeId'?: (string);
  'hostname'?: (string);
  'managementIp'?: (string);
  'cpu'?: (_limiquantix_node_v1_CpuInfo | null);
  'memory'?: (_limiquantix_node_v1_MemoryInfo | null);
  /**
   * Local file systems, without pools.
   */
  'storage'?: (_limiquantix_node_v1_StorageInfo)[];
  'network'?: (_limiquantix_node_v1_NetworkInfo)[];
  'capabilities'?: (_limiquantix_node_v1_HypervisorCapabilities | null);
  /**
   * From os-release.
   */
  'osName'?: (string);
  /**
   * From os-release.
   */
  'osVersion'?: (string);
  /**
   * As `uname -r` prints it.
   */
  'kernelVersion'?: (string);
}

/**
 * The host.
 */
export interface NodeInfoResponse__Output {
  /**
   * The agent's own persistent id.
   */
  'nodeId': (string);
  'hostname': (string);
  'managementIp': (string);
  'cpu': (_limiquantix_node_v1_CpuInfo__Output | null);
  'memory': (_limiquantix_node_v1_MemoryInfo__Output | null);
  /**
   * Local file systems, without pools.
   */
  'storage': (_limiquantix_node_v1_StorageInfo__Output)[];
  'network': (_limiquantix_node_v1_NetworkInfo__Output)[];
  'capabilities': (_limiquantix_node_v1_HypervisorCapabilities__Output | null);
  /**
   * From os-release.
   */
  'osName': (string);
  /**
   * From os-release.
   */
  'osVersion': (string);
  /**
   * As `uname -r` prints it.
   */
  'kernelVersion': (string);
}
