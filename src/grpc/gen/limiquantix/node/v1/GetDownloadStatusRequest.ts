// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * Names a download job.
 */
export interface GetDownloadStatusRequest {
  'jobId'?: (string);
}

/**
 * Names a download job.
 */
export interface GetDownloadStatusRequest__Output {
  'jobId': (string);
}
