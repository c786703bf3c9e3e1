// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A disk to remove.
 */
export interface DetachDiskRequest {
  'vmId'?: (string);
  /**
   * As in DiskSpec.id, or the name of the disk in the domain, or of its volume.
   */
  'diskId'?: (string);
}

/**
 * A disk to remove.
 */
export interface DetachDiskRequest__Output {
  'vmId': (string);
  /**
   * As in DiskSpec.id, or the name of the disk in the domain, or of its volume.
   */
  'diskId': (string);
}
