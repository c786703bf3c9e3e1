// Original file: proto/limiquantix/node/v1/node_daemon.proto

/**
 * Phase of a migration.
 */
export const MigrationPhase = {
  MIGRATION_PHASE_PREPARING: 0,
  MIGRATION_PHASE_TRANSFERRING: 1,
  MIGRATION_PHASE_SWITCHING: 2,
  MIGRATION_PHASE_COMPLETE: 3,
  MIGRATION_PHASE_FAILED: 4,
} as const;

/**
 * Phase of a migration.
 */
export type MigrationPhase =
  | 'MIGRATION_PHASE_PREPARING'
  | 0
  | 'MIGRATION_PHASE_TRANSFERRING'
  | 1
  | 'MIGRATION_PHASE_SWITCHING'
  | 2
  | 'MIGRATION_PHASE_COMPLETE'
  | 3
  | 'MIGRATION_PHASE_FAILED'
  | 4

/**
 * Phase of a migration.
 */
export type MigrationPhase__Output = typeof MigrationPhase[keyof typeof MigrationPhase]
