/** One disk of a backup: a qcow2 volume that holds all of it, or what changed since the volume below it. */
export interface BackupDisk {
  readonly diskId: string
  readonly targetDev: string
  /** In the pool of the backup. */
  readonly volume: string
  /** On this host. */
  readonly path: string
  readonly sizeBytes: number
  /** Of the volume's file, as it was when the backup was made. */
  readonly sha256: string
}

/** A finished backup of a VM. Times: ms since the epoch. */
export interface VmBackup {
  readonly vmId: string
  /** Unique among those of the VM. */
  readonly name: string
  readonly vmName: string
  readonly poolId: string
  readonly createdAt: number
  /** The backup that it holds the changes since; empty = it stands alone. */
  readonly parent: string
  /** libvirt's checkpoint from which the next one can hold the changes; empty = none was made. */
  readonly checkpoint: string
  readonly disks: readonly BackupDisk[]
  /** The VM's definition then, without secrets. */
  readonly definition: string
}

/** A backup and how it is known: `whole`, its manifest was read in its pool just now; `unseen`, the pool cannot be read now, and this is what this host remembers of it. */
export interface KnownBackup extends VmBackup {
  readonly state: 'whole' | 'unseen'
}

/** What is left of a backup that cannot be restored by its name: its manifest is damaged, or missing beside its volumes. */
export interface DamagedBackup {
  readonly vmId: string
  readonly name: string
  readonly poolId: string
  /** For people. */
  readonly problem: string
  /** Its manifest is there and cannot be read now: it may be whole, and is not deleted. */
  readonly passing?: boolean
}

/** Backups of one VM or of all, oldest first. */
export interface BackupListing {
  readonly backups: readonly KnownBackup[]
  readonly damaged: readonly DamagedBackup[]
}

/** Who the volumes of a backup are made for; each attempt to make it is one beneath it. */
export function backupOwner(vmId: string, name: string): string {
  return `backup:${vmId}:${name}`
}

/** What the names of libvirt's checkpoints of backups begin with; those are the agent's own. */
export const BACKUP_CHECKPOINT = 'backup-'

/** The volume that holds a disk in a backup. Pure. */
export function backupVolume(vmId: string, name: string, targetDev: string): string {
  return `backup-${vmId}-${name}-${targetDev}`
}

/** Whose volume it is by its name (`backupVolume`); undefined for others. */
export function readBackupVolume(volume: string): { readonly vmId: string; readonly name: string } | undefined {
  const { vmId, name } =
    /^backup-(?<vmId>[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-(?<name>.+)-[^-]+$/.exec(volume)?.groups ?? {}
  return vmId === undefined || name === undefined ? undefined : { vmId, name }
}
