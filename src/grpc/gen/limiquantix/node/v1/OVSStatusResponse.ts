// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * State of Open vSwitch and OVN.
 */
export interface OVSStatusResponse {
  'available'?: (boolean);
  'ovsVersion'?: (string);
  'ovnControllerConnected'?: (boolean);
  'integrationBridge'?: (string);
  'encapType'?: (string);
  'encapIp'?: (string);
  'chassisId'?: (string);
}

/**
 * State of Open vSwitch and OVN.
 */
export interface OVSStatusResponse__Output {
  'available': (boolean);
  'ovsVersion': (string);
  'ovnControllerConnected': (boolean);
  'integrationBridge': (string);
  'encapType': (string);
  'encapIp': (string);
  'chassisId': (string);
}
