// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { VMSpec as _limiquantix_node_v1_VMSpec, VMSpec__Output as _limiquantix_node_v1_VMSpec__Output } from '../../../limiquantix/node/v1/VMSpec.ts';

/**
 * A VM to make.
 */
export interface CreateVMOnNodeRequest {
  /**
   * UUID; empty = the agent makes one.
   */
  'vmId'?: (string);
  /**
   * Need not be unique in the cluster; must be on this host.
   */
  'name'?: (string);
  /**
   * Required.
   */
  'spec'?: (_limiquantix_node_v1_VMSpec | null);
  /**
   * Kept in the metadata of the domain.
   */
  'labels'?: ({[key: string]: string});
}

/**
 * A VM to make.
 */
export interface CreateVMOnNodeRequest__Output {
  /**
   * UUID; empty = the agent makes one.
   */
  'vmId': (string);
  /**
   * Need not be unique in the cluster; must be on this host.
   */
  'name': (string);
  /**
   * Required.
   */
  'spec': (_limiquantix_node_v1_VMSpec__Output | null);
  /**
   * Kept in the metadata of the domain.
   */
  'labels': ({[key: string]: string});
}
