// Original file: proto/limiquantix/node/v1/node_daemon.proto

import type { MigrationPhase as _limiquantix_node_v1_MigrationPhase, MigrationPhase__Output as _limiquantix_node_v1_MigrationPhase__Output } from '../../../limiquantix/node/v1/MigrationPhase.ts';
import type { Long } from '@grpc/proto-loader';

/**
 * How far a migration is.
 */
export interface MigrationProgress {
  'vmId'?: (string);
  'percentComplete'?: (number);
  'dataTransferredBytes'?: (number | string | Long);
  'dataRemainingBytes'?: (number | string | Long);
  'phase'?: (_limiquantix_node_v1_MigrationPhase);
  'error'?: (string);
}

/**
 * How far a migration is.
 */
export interface MigrationProgress__Output {
  'vmId': (string);
  'percentComplete': (number);
  'dataTransferredBytes': (number);
  'dataRemainingBytes': (number);
  'phase': (_limiquantix_node_v1_MigrationPhase__Output);
  'error': (string);
}
