// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A CD-ROM image to insert or eject.
 */
export interface ChangeMediaRequest {
  'vmId'?: (string);
  /**
   * Id of the CD-ROM, or its name: `sd` plus the letter of the number of disks plus the index of the drive. Never the drive with the cloud-init seed.
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
   * Id of the CD-ROM, or its name: `sd` plus the letter of the number of disks plus the index of the drive. Never the drive with the cloud-init seed.
   */
  'device': (string);
  /**
   * Empty = eject.
   */
  'isoPath': (string);
}
