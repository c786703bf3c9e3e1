// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * Names a download job.
 */
export interface CancelDownloadRequest {
  'jobId'?: (string);
}

/**
 * Names a download job.
 */
export interface CancelDownloadRequest__Output {
  'jobId': (string);
}
