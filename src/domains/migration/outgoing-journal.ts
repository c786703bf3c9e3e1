import type { LeasedDisk } from '../../storage/guest-lease.ts'
import type { VolumeRef } from '../vm-remains.ts'
import type { SnapshotRecord } from './snapshot-metadata.ts'

/** Where a migration is, as far as the source's record goes; each is written before it begins. */
export interface OutgoingJournal {
  /** `preparing`: the VM is here. `performing`: its guest may have stopped here. `deciding`: the target may have it. `moved`: it does. */
  readonly phase: 'preparing' | 'performing' | 'deciding' | 'moved'
  readonly paused: boolean
  /** It was off when it began. */
  readonly off: boolean
  /** Volumes of this host that are left over when the VM has moved. */
  readonly copied: readonly VolumeRef[]
  /** Its disks, whose leases are handed over when it has moved. */
  readonly disks: readonly LeasedDisk[]
  /** Those that libvirt here has forgotten, or is about to, until it knows them again or the VM has moved; absent when there are none. */
  readonly snapshots?: readonly SnapshotRecord[]
  /** With `moved`: the rest of its memory was lost here, so that this is no success. */
  readonly lost?: boolean
}

/** What came of a migration. */
export interface OutgoingResult {
  /** How long the guest stood still by QEMU's account; absent when it was not told. */
  readonly downtimeMs?: number
}
