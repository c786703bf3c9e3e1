// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * A Ceph RBD pool.
 */
export interface CephPoolConfig {
  'clusterId'?: (string);
  'poolName'?: (string);
  /**
   * `ip:port`.
   */
  'monitors'?: (string)[];
  /**
   * Empty = admin.
   */
  'user'?: (string);
  'keyringPath'?: (string);
  'namespace'?: (string);
  'secretUuid'?: (string);
}

/**
 * A Ceph RBD pool.
 */
export interface CephPoolConfig__Output {
  'clusterId': (string);
  'poolName': (string);
  /**
   * `ip:port`.
   */
  'monitors': (string)[];
  /**
   * Empty = admin.
   */
  'user': (string);
  'keyringPath': (string);
  'namespace': (string);
  'secretUuid': (string);
}
