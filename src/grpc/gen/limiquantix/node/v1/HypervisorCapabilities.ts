// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * What the hypervisor of this host can do.
 */
export interface HypervisorCapabilities {
  /**
   * Display name, `libvirt/QEMU`.
   */
  'name'?: (string);
  /**
   * Version of libvirt.
   */
  'version'?: (string);
  /**
   * False in this version.
   */
  'supportsLiveMigration'?: (boolean);
  /**
   * False in this version.
   */
  'supportsSnapshots'?: (boolean);
  /**
   * False in this version.
   */
  'supportsHotplug'?: (boolean);
  /**
   * False in this version.
   */
  'supportsGpuPassthrough'?: (boolean);
  /**
   * False in this version.
   */
  'supportsNestedVirtualization'?: (boolean);
  'maxVcpus'?: (number);
  /**
   * Memory of the host.
   */
  'maxMemoryBytes'?: (number | string | Long);
  /**
   * Version of QEMU; empty until the first connection to libvirt.
   */
  'qemuVersion'?: (string);
  /**
   * False while the agent has no connection to libvirt.
   */
  'connected'?: (boolean);
  /**
   * False when guests run under emulation.
   */
  'kvm'?: (boolean);
}

/**
 * What the hypervisor of this host can do.
 */
export interface HypervisorCapabilities__Output {
  /**
   * Display name, `libvirt/QEMU`.
   */
  'name': (string);
  /**
   * Version of libvirt.
   */
  'version': (string);
  /**
   * False in this version.
   */
  'supportsLiveMigration': (boolean);
  /**
   * False in this version.
   */
  'supportsSnapshots': (boolean);
  /**
   * False in this version.
   */
  'supportsHotplug': (boolean);
  /**
   * False in this version.
   */
  'supportsGpuPassthrough': (boolean);
  /**
   * False in this version.
   */
  'supportsNestedVirtualization': (boolean);
  'maxVcpus': (number);
  /**
   * Memory of the host.
   */
  'maxMemoryBytes': (number);
  /**
   * Version of QEMU; empty until the first connection to libvirt.
   */
  'qemuVersion': (string);
  /**
   * False while the agent has no connection to libvirt.
   */
  'connected': (boolean);
  /**
   * False when guests run under emulation.
   */
  'kvm': (boolean);
}
