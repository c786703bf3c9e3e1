// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Rate limits of a port.
 */
export interface NetworkPortQoS {
  'ingressRateKbps'?: (number | string | Long);
  'egressRateKbps'?: (number | string | Long);
  'ingressBurstKb'?: (number | string | Long);
  'egressBurstKb'?: (number | string | Long);
}

/**
 * Rate limits of a port.
 */
export interface NetworkPortQoS__Output {
  'ingressRateKbps': (number);
  'egressRateKbps': (number);
  'ingressBurstKb': (number);
  'egressBurstKb': (number);
}
