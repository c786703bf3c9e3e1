// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A VM that is about to arrive.
 */
export interface PrepareMigrationRequest {
  'vmId'?: (string);
  'sourceNodeUri'?: (string);
}

/**
 * A VM that is about to arrive.
 */
export interface PrepareMigrationRequest__Output {
  'vmId': (string);
  'sourceNodeUri': (string);
}
