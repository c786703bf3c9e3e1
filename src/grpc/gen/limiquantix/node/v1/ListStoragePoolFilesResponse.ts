// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { StoragePoolFileEntry as _limiquantix_node_v1_StoragePoolFileEntry, StoragePoolFileEntry__Output as _limiquantix_node_v1_StoragePoolFileEntry__Output } from '../../../limiquantix/node/v1/StoragePoolFileEntry.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * Content of a directory.
 */
export interface ListStoragePoolFilesResponse {
  'entries'?: (_limiquantix_node_v1_StoragePoolFileEntry)[];
  /**
   * Echo of the path asked for.
   */
  'currentPath'?: (string);
  /**
   * Entries of the directory; only when a limit was given.
   */
  'total'?: (number | string | Long);
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
  /**
   * Entries of the directory; only when a limit was given.
   */
  'total': (number);
}
