// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A snapshot to go back to.
 */
export interface RevertSnapshotRequest {
  'vmId'?: (string);
  'snapshotId'?: (string);
}

/**
 * A snapshot to go back to.
 */
export interface RevertSnapshotRequest__Output {
  'vmId': (string);
  'snapshotId': (string);
}
