// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A CD-ROM image to insert or eject.
 */
export interface ChangeMediaRequest {
  'vmId'?: (string);
  /**
   * Target device, or id of the CD-ROM.
   */
  'device'?: (string);
  /**
   * Empty = eject.
   */
  'isoPath'?: (string);
}

/**
 * A CD-ROM image to insert or eject.
 */
export interface ChangeMediaRequest__Output {
  'vmId': (string);
  /**
   * Target device, or id of the CD-ROM.
   */
  'device': (string);
  /**
   * Empty = eject.
   */
  'isoPath': (string);
}
