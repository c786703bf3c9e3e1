// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { StoragePoolFileEntry as _limiquantix_node_v1_StoragePoolFileEntry, StoragePoolFileEntry__Output as _limiquantix_node_v1_StoragePoolFileEntry__Output } from '../../../limiquantix/node/v1/StoragePoolFileEntry.ts';

/**
 * Content of a directory.
 */
export interface ListStoragePoolFilesResponse {
  'entries'?: (_limiquantix_node_v1_StoragePoolFileEntry)[];
  /**
   * Echo of the path asked for.
   */
  'currentPath'?: (string);
}

/**
 * Content of a directory.
 */
export interface ListStoragePoolFilesResponse__Output {
  'entries': (_limiquantix_node_v1_StoragePoolFileEntry__Output)[];
  /**
   * Echo of the path asked for.
   */
  'currentPath': (string);
}
