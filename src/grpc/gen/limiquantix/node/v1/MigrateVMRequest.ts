// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A VM to move.
 */
export interface MigrateVMRequest {
  'vmId'?: (string);
  'targetNodeUri'?: (string);
  'live'?: (boolean);
  'storage'?: (boolean);
}

/**
 * A VM to move.
 */
export interface MigrateVMRequest__Output {
  'vmId': (string);
  'targetNodeUri': (string);
  'live': (boolean);
  'storage': (boolean);
}
