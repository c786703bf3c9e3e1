// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * How often to send metrics.
 */
export interface StreamMetricsRequest {
  'intervalSeconds'?: (number);
}

/**
 * How often to send metrics.
 */
export interface StreamMetricsRequest__Output {
  'intervalSeconds': (number);
}
