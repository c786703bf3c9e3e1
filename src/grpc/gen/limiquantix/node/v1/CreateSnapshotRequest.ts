// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A snapshot to take.
 */
export interface CreateSnapshotRequest {
  'vmId'?: (string);
  'name'?: (string);
  'description'?: (string);
  /**
   * Of no effect: a running VM is kept with its memory, so that nothing is lost that its guest had not written.
   */
  'quiesce'?: (boolean);
}

/**
 * A snapshot to take.
 */
export interface CreateSnapshotRequest__Output {
  'vmId': (string);
  'name': (string);
  'description': (string);
  /**
   * Of no effect: a running VM is kept with its memory, so that nothing is lost that its guest had not written.
   */
  'quiesce': (boolean);
}
