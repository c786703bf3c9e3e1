// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * A volume to grow.
 */
export interface ResizeVolumeRequest {
  'poolId'?: (string);
  'volumeId'?: (string);
  'newSizeBytes'?: (number | string | Long);
}

/**
 * A volume to grow.
 */
export interface ResizeVolumeRequest__Output {
  'poolId': (string);
  'volumeId': (string);
  'newSizeBytes': (number);
}
