// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Timestamp as _google_protobuf_Timestamp, Timestamp__Output as _google_protobuf_Timestamp__Output } from '../../../google/protobuf/Timestamp.ts';
import type { Long } from '@grpc/proto-loader';

// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * State of a download job.
 */
export const _limiquantix_node_v1_DownloadProgress_Status = {
  STATUS_UNKNOWN: 0,
  STATUS_PENDING: 1,
  STATUS_DOWNLOADING: 2,
  STATUS_VERIFYING: 3,
  STATUS_CONVERTING: 4,
  STATUS_COMPLETED: 5,
  STATUS_FAILED: 6,
  STATUS_CANCELLED: 7,
} as const;

/**
 * State of a download job.
 */
export type _limiquantix_node_v1_DownloadProgress_Status =
  | 'STATUS_UNKNOWN'
  | 0
  | 'STATUS_PENDING'
  | 1
  | 'STATUS_DOWNLOADING'
  | 2
  | 'STATUS_VERIFYING'
  | 3
  | 'STATUS_CONVERTING'
  | 4
  | 'STATUS_COMPLETED'
  | 5
  | 'STATUS_FAILED'
  | 6
  | 'STATUS_CANCELLED'
  | 7

/**
 * State of a download job.
 */
export type _limiquantix_node_v1_DownloadProgress_Status__Output = typeof _limiquantix_node_v1_DownloadProgress_Status[keyof typeof _limiquantix_node_v1_DownloadProgress_Status]

/**
 * A download job.
 */
export interface DownloadProgress {
  'jobId'?: (string);
  'imageId'?: (string);
  'status'?: (_limiquantix_node_v1_DownloadProgress_Status);
  'progressPercent'?: (number);
  'bytesDownloaded'?: (number | string | Long);
  /**
   * 0 = not known yet.
   */
  'bytesTotal'?: (number | string | Long);
  /**
   * Bytes a second.
   */
  'downloadSpeed'?: (number | string | Long);
  'etaSeconds'?: (number);
  /**
   * Where the image is or will be.
   */
  'path'?: (string);
  /**
   * Why it failed; empty otherwise.
   */
  'error'?: (string);
  /**
   * As asked.
   */
  'catalogId'?: (string);
  /**
   * As asked.
   */
  'url'?: (string);
  /**
   * As asked.
   */
  'poolId'?: (string);
  /**
   * When the job was accepted.
   */
  'startedAt'?: (_google_protobuf_Timestamp | null);
  /**
   * When it became final; absent before.
   */
  'finishedAt'?: (_google_protobuf_Timestamp | null);
}

/**
 * A download job.
 */
export interface DownloadProgress__Output {
  'jobId': (string);
  'imageId': (string);
  'status': (_limiquantix_node_v1_DownloadProgress_Status__Output);
  'progressPercent': (number);
  'bytesDownloaded': (number);
  /**
   * 0 = not known yet.
   */
  'bytesTotal': (number);
  /**
   * Bytes a second.
   */
  'downloadSpeed': (number);
  'etaSeconds': (number);
  /**
   * Where the image is or will be.
   */
  'path': (string);
  /**
   * Why it failed; empty otherwise.
   */
  'error': (string);
  /**
   * As asked.
   */
  'catalogId': (string);
  /**
   * As asked.
   */
  'url': (string);
  /**
   * As asked.
   */
  'poolId': (string);
  /**
   * When the job was accepted.
   */
  'startedAt': (_google_protobuf_Timestamp__Output | null);
  /**
   * When it became final; absent before.
   */
  'finishedAt': (_google_protobuf_Timestamp__Output | null);
}
