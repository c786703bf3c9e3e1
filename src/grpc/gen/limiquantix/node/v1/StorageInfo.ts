// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * One local file system.
 */
export interface StorageInfo {
  'device'?: (string);
  'mountPoint'?: (string);
  'totalBytes'?: (number | string | Long);
  'usedBytes'?: (number | string | Long);
  'availableBytes'?: (number | string | Long);
  'filesystem'?: (string);
}

/**
 * One local file system.
 */
export interface StorageInfo__Output {
  'device': (string);
  'mountPoint': (string);
  'totalBytes': (number);
  'usedBytes': (number);
  'availableBytes': (number);
  'filesystem': (string);
}
