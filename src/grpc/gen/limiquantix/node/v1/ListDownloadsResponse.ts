// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { DownloadProgress as _limiquantix_node_v1_DownloadProgress, DownloadProgress__Output as _limiquantix_node_v1_DownloadProgress__Output } from '../../../limiquantix/node/v1/DownloadProgress.ts';

/**
 * Beyond the contract: every download job the agent remembers.
 */
export interface ListDownloadsResponse {
  'jobs'?: (_limiquantix_node_v1_DownloadProgress)[];
}

/**
 * Beyond the contract: every download job the agent remembers.
 */
export interface ListDownloadsResponse__Output {
  'jobs': (_limiquantix_node_v1_DownloadProgress__Output)[];
}
