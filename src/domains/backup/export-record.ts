import type { BackupMode } from './plan-backup.ts'

/** What a caller wants to read. */
export interface ExportRequest {
  readonly vmId: string
  /** Unique among those of the VM that the history of jobs still has; that of one whose checkpoint is kept is refused. */
  readonly name: string
  /** Where what the guest overwrites meanwhile is kept; empty = the pool of its first disk. */
  readonly poolId: string
  /** `full` leaves no trace in the VM; `incremental` makes a checkpoint, since which the next one can tell the changes. */
  readonly mode: BackupMode
  /** Tell what changed since this checkpoint, of an export that was completed; empty = nothing is told. */
  readonly since: string
  readonly lifetimeMs: number
}

/**
 * How an export ended: its reader had all of it, gave it up, was too late, or the VM or its job ended before; its pool ran out of room for what the guest overwrites; or the guest was stopped by an I/O error, which that too may bring
 * about.
 */
export type ExportOutcome = 'complete' | 'given-up' | 'expired' | 'lost' | 'no-room' | 'io-error'

/** A disk that can be read. */
export interface ExportedDisk {
  readonly diskId: string
  readonly targetDev: string
  /** Name of the NBD export. */
  readonly exportName: string
  /** Meta context of NBD with what changed; empty without `since`. */
  readonly bitmap: string
  readonly sizeBytes: number
}

/** An export that is open. Times: ms since the epoch. */
export interface BackupExport {
  readonly jobId: string
  readonly vmId: string
  readonly name: string
  /** Path of the UNIX socket on which QEMU serves NBD; root alone and QEMU reach it. */
  readonly socket: string
  readonly disks: readonly ExportedDisk[]
  /** Empty = none is made. */
  readonly checkpoint: string
  readonly since: string
  readonly expiresAt: number
}
