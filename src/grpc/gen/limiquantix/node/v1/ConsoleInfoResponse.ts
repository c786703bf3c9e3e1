// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * Where a console listens.
 */
export interface ConsoleInfoResponse {
  /**
   * `vnc` or `spice`.
   */
  'type'?: (string);
  'host'?: (string);
  'port'?: (number);
  'password'?: (string);
  'websocketPath'?: (string);
}

/**
 * Where a console listens.
 */
export interface ConsoleInfoResponse__Output {
  /**
   * `vnc` or `spice`.
   */
  'type': (string);
  'host': (string);
  'port': (number);
  'password': (string);
  'websocketPath': (string);
}
