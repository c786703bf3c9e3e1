// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A snapshot to remove.
 */
export interface DeleteSnapshotRequest {
  'vmId'?: (string);
  'snapshotId'?: (string);
}

/**
 * A snapshot to remove.
 */
export interface DeleteSnapshotRequest__Output {
  'vmId': (string);
  'snapshotId': (string);
}
