// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Health of the agent from memory.
 */
export interface HealthCheckResponse {
  /**
   * False while the agent cannot reach libvirt.
   */
  'healthy'?: (boolean);
  /**
   * Version of the agent.
   */
  'version'?: (string);
  /**
   * Display name, `libvirt/QEMU`.
   */
  'hypervisor'?: (string);
  /**
   * `a.b.c`; empty until the first connection to libvirt.
   */
  'hypervisorVersion'?: (string);
  /**
   * Since the agent started.
   */
  'uptimeSeconds'?: (number | string | Long);
}

/**
 * Health of the agent from memory.
 */
export interface HealthCheckResponse__Output {
  /**
   * False while the agent cannot reach libvirt.
   */
  'healthy': (boolean);
  /**
   * Version of the agent.
   */
  'version': (string);
  /**
   * Display name, `libvirt/QEMU`.
   */
  'hypervisor': (string);
  /**
   * `a.b.c`; empty until the first connection to libvirt.
   */
  'hypervisorVersion': (string);
  /**
   * Since the agent started.
   */
  'uptimeSeconds': (number);
}
