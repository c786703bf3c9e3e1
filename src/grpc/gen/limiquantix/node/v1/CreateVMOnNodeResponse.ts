// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * What became of a create.
 */
export interface CreateVMOnNodeResponse {
  'vmId'?: (string);
  /**
   * False when the same VM was there before.
   */
  'created'?: (boolean);
  /**
   * For people.
   */
  'message'?: (string);
}

/**
 * What became of a create.
 */
export interface CreateVMOnNodeResponse__Output {
  'vmId': (string);
  /**
   * False when the same VM was there before.
   */
  'created': (boolean);
  /**
   * For people.
   */
  'message': (string);
}
