// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A CD-ROM drive.
 */
export interface CdromSpec {
  'id'?: (string);
  /**
   * Absolute path on this host, or `iso/<file>` relative to a pool.
   */
  'isoPath'?: (string);
  'bootable'?: (boolean);
}

/**
 * A CD-ROM drive.
 */
export interface CdromSpec__Output {
  'id': (string);
  /**
   * Absolute path on this host, or `iso/<file>` relative to a pool.
   */
  'isoPath': (string);
  'bootable': (boolean);
}
