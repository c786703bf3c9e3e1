// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * A directory of this host.
 */
export interface LocalDirPoolConfig {
  /**
   * Absolute directory.
   */
  'path'?: (string);
  /**
   * Upper bound of what is reported; absent = the file system.
   */
  'capacityGib'?: (number | string | Long);
  '_capacityGib'?: "capacityGib";
}

/**
 * A directory of this host.
 */
export interface LocalDirPoolConfig__Output {
  /**
   * Absolute directory.
   */
  'path': (string);
  /**
   * Upper bound of what is reported; absent = the file system.
   */
  'capacityGib'?: (number);
  '_capacityGib'?: "capacityGib";
}
