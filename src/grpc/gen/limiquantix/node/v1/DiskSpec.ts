// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { DiskBus as _limiquantix_node_v1_DiskBus, DiskBus__Output as _limiquantix_node_v1_DiskBus__Output } from '../../../limiquantix/node/v1/DiskBus.ts';
import type { DiskFormat as _limiquantix_node_v1_DiskFormat, DiskFormat__Output as _limiquantix_node_v1_DiskFormat__Output } from '../../../limiquantix/node/v1/DiskFormat.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * A disk to make or to attach.
 */
export interface DiskSpec {
  /**
   * Names the volume; empty = `disk<index>`.
   */
  'id'?: (string);
  /**
   * A file or device to attach as it is; empty = make a volume.
   */
  'path'?: (string);
  /**
   * The larger of this and the virtual size of backing_file.
   */
  'sizeGib'?: (number | string | Long);
  'bus'?: (_limiquantix_node_v1_DiskBus);
  'format'?: (_limiquantix_node_v1_DiskFormat);
  'readonly'?: (boolean);
  /**
   * The first bootable disk boots first.
   */
  'bootable'?: (boolean);
  /**
   * 0 = unlimited.
   */
  'iopsLimit'?: (number | string | Long);
  /**
   * 10^6 bytes a second; 0 = unlimited.
   */
  'throughputMbps'?: (number | string | Long);
  /**
   * Absolute path of an image on this host; the new volume is an overlay on it.
   */
  'backingFile'?: (string);
  /**
   * Pool of the new volume; empty = the default place of the agent.
   */
  'poolId'?: (string);
}

/**
 * A disk to make or to attach.
 */
export interface DiskSpec__Output {
  /**
   * Names the volume; empty = `disk<index>`.
   */
  'id': (string);
  /**
   * A file or device to attach as it is; empty = make a volume.
   */
  'path': (string);
  /**
   * The larger of this and the virtual size of backing_file.
   */
  'sizeGib': (number);
  'bus': (_limiquantix_node_v1_DiskBus__Output);
  'format': (_limiquantix_node_v1_DiskFormat__Output);
  'readonly': (boolean);
  /**
   * The first bootable disk boots first.
   */
  'bootable': (boolean);
  /**
   * 0 = unlimited.
   */
  'iopsLimit': (number);
  /**
   * 10^6 bytes a second; 0 = unlimited.
   */
  'throughputMbps': (number);
  /**
   * Absolute path of an image on this host; the new volume is an overlay on it.
   */
  'backingFile': (string);
  /**
   * Pool of the new volume; empty = the default place of the agent.
   */
  'poolId': (string);
}
