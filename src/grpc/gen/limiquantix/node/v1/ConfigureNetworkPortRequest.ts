// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { NetworkPortBindingType as _limiquantix_node_v1_NetworkPortBindingType, NetworkPortBindingType__Output as _limiquantix_node_v1_NetworkPortBindingType__Output } from '../../../limiquantix/node/v1/NetworkPortBindingType.ts';
import type { NetworkPortQoS as _limiquantix_node_v1_NetworkPortQoS, NetworkPortQoS__Output as _limiquantix_node_v1_NetworkPortQoS__Output } from '../../../limiquantix/node/v1/NetworkPortQoS.ts';

/**
 * A port to make.
 */
export interface ConfigureNetworkPortRequest {
  'portId'?: (string);
  'vmId'?: (string);
  'networkId'?: (string);
  'macAddress'?: (string);
  'ipAddresses'?: (string)[];
  'ovnPortName'?: (string);
  'bindingType'?: (_limiquantix_node_v1_NetworkPortBindingType);
  'qos'?: (_limiquantix_node_v1_NetworkPortQoS | null);
  'portSecurityEnabled'?: (boolean);
  'securityGroupIds'?: (string)[];
}

/**
 * A port to make.
 */
export interface ConfigureNetworkPortRequest__Output {
  'portId': (string);
  'vmId': (string);
  'networkId': (string);
  'macAddress': (string);
  'ipAddresses': (string)[];
  'ovnPortName': (string);
  'bindingType': (_limiquantix_node_v1_NetworkPortBindingType__Output);
  'qos': (_limiquantix_node_v1_NetworkPortQoS__Output | null);
  'portSecurityEnabled': (boolean);
  'securityGroupIds': (string)[];
}
