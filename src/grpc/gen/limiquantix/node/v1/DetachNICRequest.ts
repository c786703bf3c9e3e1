// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A network interface to remove.
 */
export interface DetachNICRequest {
  'vmId'?: (string);
  /**
   * As in NicSpec.id, or the MAC address.
   */
  'nicId'?: (string);
}

/**
 * A network interface to remove.
 */
export interface DetachNICRequest__Output {
  'vmId': (string);
  /**
   * As in NicSpec.id, or the MAC address.
   */
  'nicId': (string);
}
