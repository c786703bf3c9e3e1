// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * Names a port.
 */
export interface GetNetworkPortStatusRequest {
  'portId'?: (string);
}

/**
 * Names a port.
 */
export interface GetNetworkPortStatusRequest__Output {
  'portId': (string);
}
