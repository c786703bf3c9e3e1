// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { NetworkPortPhase as _limiquantix_node_v1_NetworkPortPhase, NetworkPortPhase__Output as _limiquantix_node_v1_NetworkPortPhase__Output } from '../../../limiquantix/node/v1/NetworkPortPhase.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * A port.
 */
export interface NetworkPortInfo {
  'portId'?: (string);
  'vmId'?: (string);
  'networkId'?: (string);
  'macAddress'?: (string);
  'ipAddresses'?: (string)[];
  'phase'?: (_limiquantix_node_v1_NetworkPortPhase);
  'errorMessage'?: (string);
  'ovsPortName'?: (string);
  'ovnPortName'?: (string);
  'interfaceXml'?: (string);
  'rxBytes'?: (number | string | Long);
  'txBytes'?: (number | string | Long);
  'rxPackets'?: (number | string | Long);
  'txPackets'?: (number | string | Long);
}

/**
 * A port.
 */
export interface NetworkPortInfo__Output {
  'portId': (string);
  'vmId': (string);
  'networkId': (string);
  'macAddress': (string);
  'ipAddresses': (string)[];
  'phase': (_limiquantix_node_v1_NetworkPortPhase__Output);
  'errorMessage': (string);
  'ovsPortName': (string);
  'ovnPortName': (string);
  'interfaceXml': (string);
  'rxBytes': (number);
  'txBytes': (number);
  'rxPackets': (number);
  'txPackets': (number);
}
