// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Processors of the host.
 */
export interface CpuInfo {
  'model'?: (string);
  'sockets'?: (number);
  'coresPerSocket'?: (number);
  'threadsPerCore'?: (number);
  'totalThreads'?: (number);
  'frequencyMhz'?: (number | string | Long);
  'features'?: (string)[];
  /**
   * CPU vendor.
   */
  'vendor'?: (string);
  /**
   * Machine architecture, e.g. `x86_64`.
   */
  'architecture'?: (string);
}

/**
 * Processors of the host.
 */
export interface CpuInfo__Output {
  'model': (string);
  'sockets': (number);
  'coresPerSocket': (number);
  'threadsPerCore': (number);
  'totalThreads': (number);
  'frequencyMhz': (number);
  'features': (string)[];
  /**
   * CPU vendor.
   */
  'vendor': (string);
  /**
   * Machine architecture, e.g. `x86_64`.
   */
  'architecture': (string);
}
