// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { Long } from '@grpc/proto-loader';

/**
 * Beyond the contract: one disk of a VM as libvirt has it.
 */
export interface VMDisk {
  /**
   * Disk id given to CreateVM; the target device for foreign disks.
   */
  'id'?: (string);
  /**
   * File or block device.
   */
  'path'?: (string);
  /**
   * Device name in the guest definition, e.g. `vda`.
   */
  'targetDev'?: (string);
  /**
   * `virtio`, `scsi`, `sata`.
   */
  'bus'?: (string);
  /**
   * `qcow2` or `raw`.
   */
  'format'?: (string);
  /**
   * Virtual size.
   */
  'sizeBytes'?: (number | string | Long);
  'readonly'?: (boolean);
  'bootable'?: (boolean);
}

/**
 * Beyond the contract: one disk of a VM as libvirt has it.
 */
export interface VMDisk__Output {
  /**
   * Disk id given to CreateVM; the target device for foreign disks.
   */
  'id': (string);
  /**
   * File or block device.
   */
  'path': (string);
  /**
   * Device name in the guest definition, e.g. `vda`.
   */
  'targetDev': (string);
  /**
   * `virtio`, `scsi`, `sata`.
   */
  'bus': (string);
  /**
   * `qcow2` or `raw`.
   */
  'format': (string);
  /**
   * Virtual size.
   */
  'sizeBytes': (number);
  'readonly': (boolean);
  'bootable': (boolean);
}
