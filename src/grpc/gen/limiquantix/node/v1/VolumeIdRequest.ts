// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * Names a volume.
 */
export interface VolumeIdRequest {
  'poolId'?: (string);
  'volumeId'?: (string);
}

/**
 * Names a volume.
 */
export interface VolumeIdRequest__Output {
  'poolId': (string);
  'volumeId': (string);
}
