// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Firmware as _limiquantix_node_v1_Firmware, Firmware__Output as _limiquantix_node_v1_Firmware__Output } from '../../../limiquantix/node/v1/Firmware.ts';
import type { BootDevice as _limiquantix_node_v1_BootDevice, BootDevice__Output as _limiquantix_node_v1_BootDevice__Output } from '../../../limiquantix/node/v1/BootDevice.ts';
import type { DiskSpec as _limiquantix_node_v1_DiskSpec, DiskSpec__Output as _limiquantix_node_v1_DiskSpec__Output } from '../../../limiquantix/node/v1/DiskSpec.ts';
import type { NicSpec as _limiquantix_node_v1_NicSpec, NicSpec__Output as _limiquantix_node_v1_NicSpec__Output } from '../../../limiquantix/node/v1/NicSpec.ts';
import type { CdromSpec as _limiquantix_node_v1_CdromSpec, CdromSpec__Output as _limiquantix_node_v1_CdromSpec__Output } from '../../../limiquantix/node/v1/CdromSpec.ts';
import type { ConsoleSpec as _limiquantix_node_v1_ConsoleSpec, ConsoleSpec__Output as _limiquantix_node_v1_ConsoleSpec__Output } from '../../../limiquantix/node/v1/ConsoleSpec.ts';
import type { CloudInitConfig as _limiquantix_node_v1_CloudInitConfig, CloudInitConfig__Output as _limiquantix_node_v1_CloudInitConfig__Output } from '../../../limiquantix/node/v1/CloudInitConfig.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * The virtual hardware.
 */
export interface VMSpec {
  /**
   * Total number of vCPUs, whatever sockets and threads say.
   */
  'cpuCores'?: (number);
  /**
   * 0 = 1. A topology that does not divide the total is replaced by one socket with single-threaded cores.
   */
  'cpuSockets'?: (number);
  /**
   * 0 = 1.
   */
  'cpuThreadsPerCore'?: (number);
  'memoryMib'?: (number | string | Long);
  /**
   * Backs the memory with huge pages.
   */
  'memoryHugepages'?: (boolean);
  'firmware'?: (_limiquantix_node_v1_Firmware);
  /**
   * Empty = disk, cdrom, network; a bootable CD-ROM goes first.
   */
  'bootOrder'?: (_limiquantix_node_v1_BootDevice)[];
  'disks'?: (_limiquantix_node_v1_DiskSpec)[];
  /**
   * Empty = one virtio NIC on the default network.
   */
  'nics'?: (_limiquantix_node_v1_NicSpec)[];
  'cdroms'?: (_limiquantix_node_v1_CdromSpec)[];
  /**
   * Accepted and ignored: VNC listens on loopback.
   */
  'console'?: (_limiquantix_node_v1_ConsoleSpec | null);
  /**
   * Makes a NoCloud seed when any document is given.
   */
  'cloudInit'?: (_limiquantix_node_v1_CloudInitConfig | null);
  /**
   * Hardware profile, e.g. `debian`, `rhel`, `windows_server`; unknown = generic Linux.
   */
  'guestOs'?: (string);
}

/**
 * The virtual hardware.
 */
export interface VMSpec__Output {
  /**
   * Total number of vCPUs, whatever sockets and threads say.
   */
  'cpuCores': (number);
  /**
   * 0 = 1. A topology that does not divide the total is replaced by one socket with single-threaded cores.
   */
  'cpuSockets': (number);
  /**
   * 0 = 1.
   */
  'cpuThreadsPerCore': (number);
  'memoryMib': (number);
  /**
   * Backs the memory with huge pages.
   */
  'memoryHugepages': (boolean);
  'firmware': (_limiquantix_node_v1_Firmware__Output);
  /**
   * Empty = disk, cdrom, network; a bootable CD-ROM goes first.
   */
  'bootOrder': (_limiquantix_node_v1_BootDevice__Output)[];
  'disks': (_limiquantix_node_v1_DiskSpec__Output)[];
  /**
   * Empty = one virtio NIC on the default network.
   */
  'nics': (_limiquantix_node_v1_NicSpec__Output)[];
  'cdroms': (_limiquantix_node_v1_CdromSpec__Output)[];
  /**
   * Accepted and ignored: VNC listens on loopback.
   */
  'console': (_limiquantix_node_v1_ConsoleSpec__Output | null);
  /**
   * Makes a NoCloud seed when any document is given.
   */
  'cloudInit': (_limiquantix_node_v1_CloudInitConfig__Output | null);
  /**
   * Hardware profile, e.g. `debian`, `rhel`, `windows_server`; unknown = generic Linux.
   */
  'guestOs': (string);
}
