// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * A file or directory of a pool.
 */
export interface StoragePoolFileEntry {
  'name'?: (string);
  /**
   * Relative to the root of the pool.
   */
  'path'?: (string);
  'isDirectory'?: (boolean);
  /**
   * 0 for directories.
   */
  'sizeBytes'?: (number | string | Long);
  /**
   * RFC 3339.
   */
  'modifiedAt'?: (string);
  /**
   * `directory`, a disk format by content, or the extension in lower case.
   */
  'fileType'?: (string);
  /**
   * Octal text such as `644`.
   */
  'permissions'?: (string);
}

/**
 * A file or directory of a pool.
 */
export interface StoragePoolFileEntry__Output {
  'name': (string);
  /**
   * Relative to the root of the pool.
   */
  'path': (string);
  'isDirectory': (boolean);
  /**
   * 0 for directories.
   */
  'sizeBytes': (number);
  /**
   * RFC 3339.
   */
  'modifiedAt': (string);
  /**
   * `directory`, a disk format by content, or the extension in lower case.
   */
  'fileType': (string);
  /**
   * Octal text such as `644`.
   */
  'permissions': (string);
}
