// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A VM to shut down.
 */
export interface StopVMRequest {
  'vmId'?: (string);
  /**
   * 0 = 30.
   */
  'timeoutSeconds'?: (number);
}

/**
 * A VM to shut down.
 */
export interface StopVMRequest__Output {
  'vmId': (string);
  /**
   * 0 = 30.
   */
  'timeoutSeconds': (number);
}
