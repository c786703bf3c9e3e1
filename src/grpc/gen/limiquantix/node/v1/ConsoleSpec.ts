// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * Graphical console.
 */
export interface ConsoleSpec {
  'vncEnabled'?: (boolean);
  /**
   * 0 = chosen by libvirt.
   */
  'vncPort'?: (number);
  /**
   * Secret.
   */
  'vncPassword'?: (string);
  'spiceEnabled'?: (boolean);
  'spicePort'?: (number);
}

/**
 * Graphical console.
 */
export interface ConsoleSpec__Output {
  'vncEnabled': (boolean);
  /**
   * 0 = chosen by libvirt.
   */
  'vncPort': (number);
  /**
   * Secret.
   */
  'vncPassword': (string);
  'spiceEnabled': (boolean);
  'spicePort': (number);
}
