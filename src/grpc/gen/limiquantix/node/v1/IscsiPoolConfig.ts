// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * An iSCSI LUN with a volume group on it.
 */
export interface IscsiPoolConfig {
  'portal'?: (string);
  'target'?: (string);
  'chapEnabled'?: (boolean);
  'chapUser'?: (string);
  /**
   * Secret.
   */
  'chapPassword'?: (string);
  'lun'?: (number);
  /**
   * Empty = named after the pool.
   */
  'volumeGroup'?: (string);
}

/**
 * An iSCSI LUN with a volume group on it.
 */
export interface IscsiPoolConfig__Output {
  'portal': (string);
  'target': (string);
  'chapEnabled': (boolean);
  'chapUser': (string);
  /**
   * Secret.
   */
  'chapPassword': (string);
  'lun': (number);
  /**
   * Empty = named after the pool.
   */
  'volumeGroup': (string);
}
