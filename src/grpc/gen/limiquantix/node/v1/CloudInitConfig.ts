// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * cloud-init documents as plain text. Any of them may be empty; all are secrets and never logged.
 */
export interface CloudInitConfig {
  /**
   * `#cloud-config` or a script.
   */
  'userData'?: (string);
  /**
   * YAML; made by the agent when empty.
   */
  'metaData'?: (string);
  /**
   * Version 1 or 2.
   */
  'networkConfig'?: (string);
  'vendorData'?: (string);
}

/**
 * cloud-init documents as plain text. Any of them may be empty; all are secrets and never logged.
 */
export interface CloudInitConfig__Output {
  /**
   * `#cloud-config` or a script.
   */
  'userData': (string);
  /**
   * YAML; made by the agent when empty.
   */
  'metaData': (string);
  /**
   * Version 1 or 2.
   */
  'networkConfig': (string);
  'vendorData': (string);
}
