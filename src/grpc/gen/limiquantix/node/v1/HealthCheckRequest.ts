// Original file: proto/limiquantix/node/v1/node_daemon.proto


/**
 * Nothing to say.
 */
export interface HealthCheckRequest {
}

/**
 * Nothing to say.
 */
export interface HealthCheckRequest__Output {
}
