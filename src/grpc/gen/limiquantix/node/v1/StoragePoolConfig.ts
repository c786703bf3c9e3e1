// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { LocalDirPoolConfig as _limiquantix_node_v1_LocalDirPoolConfig, LocalDirPoolConfig__Output as _limiquantix_node_v1_LocalDirPoolConfig__Output } from '../../../limiquantix/node/v1/LocalDirPoolConfig.ts';
import type { NfsPoolConfig as _limiquantix_node_v1_NfsPoolConfig, NfsPoolConfig__Output as _limiquantix_node_v1_NfsPoolConfig__Output } from '../../../limiquantix/node/v1/NfsPoolConfig.ts';
import type { CephPoolConfig as _limiquantix_node_v1_CephPoolConfig, CephPoolConfig__Output as _limiquantix_node_v1_CephPoolConfig__Output } from '../../../limiquantix/node/v1/CephPoolConfig.ts';
import type { IscsiPoolConfig as _limiquantix_node_v1_IscsiPoolConfig, IscsiPoolConfig__Output as _limiquantix_node_v1_IscsiPoolConfig__Output } from '../../../limiquantix/node/v1/IscsiPoolConfig.ts';

/**
 * Configuration of a pool; the member that fits its type is read.
 */
export interface StoragePoolConfig {
  'local'?: (_limiquantix_node_v1_LocalDirPoolConfig | null);
  'nfs'?: (_limiquantix_node_v1_NfsPoolConfig | null);
  'ceph'?: (_limiquantix_node_v1_CephPoolConfig | null);
  'iscsi'?: (_limiquantix_node_v1_IscsiPoolConfig | null);
}

/**
 * Configuration of a pool; the member that fits its type is read.
 */
export interface StoragePoolConfig__Output {
  'local': (_limiquantix_node_v1_LocalDirPoolConfig__Output | null);
  'nfs': (_limiquantix_node_v1_NfsPoolConfig__Output | null);
  'ceph': (_limiquantix_node_v1_CephPoolConfig__Output | null);
  'iscsi': (_limiquantix_node_v1_IscsiPoolConfig__Output | null);
}
