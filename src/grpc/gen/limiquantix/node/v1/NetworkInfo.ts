// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * One network interface of the host.
 */
export interface NetworkInfo {
  'name'?: (string);
  'macAddress'?: (string);
  /**
   * Without prefix length.
   */
  'ipAddresses'?: (string)[];
  /**
   * 0 = unknown.
   */
  'speedMbps'?: (number | string | Long);
  'up'?: (boolean);
  /**
   * Kernel driver; empty when unknown.
   */
  'driver'?: (string);
  /**
   * MTU in bytes.
   */
  'mtu'?: (number);
}

/**
 * One network interface of the host.
 */
export interface NetworkInfo__Output {
  'name': (string);
  'macAddress': (string);
  /**
   * Without prefix length.
   */
  'ipAddresses': (string)[];
  /**
   * 0 = unknown.
   */
  'speedMbps': (number);
  'up': (boolean);
  /**
   * Kernel driver; empty when unknown.
   */
  'driver': (string);
  /**
   * MTU in bytes.
   */
  'mtu': (number);
}
