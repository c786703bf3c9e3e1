// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A volume snapshot to take.
 */
export interface CreateVolumeSnapshotRequest {
  'poolId'?: (string);
  'volumeId'?: (string);
  'snapshotId'?: (string);
}

/**
 * A volume snapshot to take.
 */
export interface CreateVolumeSnapshotRequest__Output {
  'poolId': (string);
  'volumeId': (string);
  'snapshotId': (string);
}
