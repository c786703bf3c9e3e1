// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Memory of the host.
 */
export interface MemoryInfo {
  'totalBytes'?: (number | string | Long);
  'availableBytes'?: (number | string | Long);
  'usedBytes'?: (number | string | Long);
  /**
   * Size of all swap areas.
   */
  'swapTotalBytes'?: (number | string | Long);
  /**
   * Used part of it.
   */
  'swapUsedBytes'?: (number | string | Long);
}

/**
 * Memory of the host.
 */
export interface MemoryInfo__Output {
  'totalBytes': (number);
  'availableBytes': (number);
  'usedBytes': (number);
  /**
   * Size of all swap areas.
   */
  'swapTotalBytes': (number);
  /**
   * Used part of it.
   */
  'swapUsedBytes': (number);
}
