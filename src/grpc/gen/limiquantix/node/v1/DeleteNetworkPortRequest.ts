// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A port to remove.
 */
export interface DeleteNetworkPortRequest {
  'portId'?: (string);
  'vmId'?: (string);
}

/**
 * A port to remove.
 */
export interface DeleteNetworkPortRequest__Output {
  'portId': (string);
  'vmId': (string);
}
