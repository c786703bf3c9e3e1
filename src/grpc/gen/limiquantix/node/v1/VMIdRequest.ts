// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * Names a VM.
 */
export interface VMIdRequest {
  /**
   * UUID of the VM; also of its libvirt domain.
   */
  'vmId'?: (string);
}

/**
 * Names a VM.
 */
export interface VMIdRequest__Output {
  /**
   * UUID of the VM; also of its libvirt domain.
   */
  'vmId': (string);
}
