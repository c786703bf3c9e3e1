// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A snapshot to take.
 */
export interface CreateSnapshotRequest {
  'vmId'?: (string);
  'name'?: (string);
  'description'?: (string);
  'quiesce'?: (boolean);
}

/**
 * A snapshot to take.
 */
export interface CreateSnapshotRequest__Output {
  'vmId': (string);
  'name': (string);
  'description': (string);
  'quiesce': (boolean);
}
