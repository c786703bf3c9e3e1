// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { NicModel as _limiquantix_node_v1_NicModel, NicModel__Output as _limiquantix_node_v1_NicModel__Output } from '../../../limiquantix/node/v1/NicModel.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * A network interface.
 */
export interface NicSpec {
  'id'?: (string);
  /**
   * Empty = generated, stable per VM and NIC.
   */
  'macAddress'?: (string);
  /**
   * Host bridge; wins over network.
   */
  'bridge'?: (string);
  /**
   * A libvirt network, or a control plane network id that the agent maps.
   */
  'network'?: (string);
  'model'?: (_limiquantix_node_v1_NicModel);
  /**
   * Accepted and ignored.
   */
  'bandwidthMbps'?: (number | string | Long);
}

/**
 * A network interface.
 */
export interface NicSpec__Output {
  'id': (string);
  /**
   * Empty = generated, stable per VM and NIC.
   */
  'macAddress': (string);
  /**
   * Host bridge; wins over network.
   */
  'bridge': (string);
  /**
   * A libvirt network, or a control plane network id that the agent maps.
   */
  'network': (string);
  'model': (_limiquantix_node_v1_NicModel__Output);
  /**
   * Accepted and ignored.
   */
  'bandwidthMbps': (number);
}
