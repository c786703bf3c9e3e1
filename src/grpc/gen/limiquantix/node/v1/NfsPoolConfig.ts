// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * An NFS export.
 */
export interface NfsPoolConfig {
  'server'?: (string);
  'exportPath'?: (string);
  /**
   * `3`, `4`, `4.1`, `4.2`; empty = 4.1.
   */
  'version'?: (string);
  /**
   * Extra mount options, separated by commas.
   */
  'options'?: (string);
  /**
   * Empty = chosen by the agent.
   */
  'mountPoint'?: (string);
}

/**
 * An NFS export.
 */
export interface NfsPoolConfig__Output {
  'server': (string);
  'exportPath': (string);
  /**
   * `3`, `4`, `4.1`, `4.2`; empty = 4.1.
   */
  'version': (string);
  /**
   * Extra mount options, separated by commas.
   */
  'options': (string);
  /**
   * Empty = chosen by the agent.
   */
  'mountPoint': (string);
}
