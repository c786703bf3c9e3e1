// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { VolumeSourceType as _limiquantix_node_v1_VolumeSourceType, VolumeSourceType__Output as _limiquantix_node_v1_VolumeSourceType__Output } from '../../../limiquantix/node/v1/VolumeSourceType.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * A volume to make.
 */
export interface CreateVolumeRequest {
  'poolId'?: (string);
  'volumeId'?: (string);
  'sizeBytes'?: (number | string | Long);
  'sourceType'?: (_limiquantix_node_v1_VolumeSourceType);
  'sourceId'?: (string);
}

/**
 * A volume to make.
 */
export interface CreateVolumeRequest__Output {
  'poolId': (string);
  'volumeId': (string);
  'sizeBytes': (number);
  'sourceType': (_limiquantix_node_v1_VolumeSourceType__Output);
  'sourceId': (string);
}
