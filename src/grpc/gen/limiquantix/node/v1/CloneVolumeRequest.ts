// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A volume to copy.
 */
export interface CloneVolumeRequest {
  'poolId'?: (string);
  'sourceVolumeId'?: (string);
  'destVolumeId'?: (string);
}

/**
 * A volume to copy.
 */
export interface CloneVolumeRequest__Output {
  'poolId': (string);
  'sourceVolumeId': (string);
  'destVolumeId': (string);
}
