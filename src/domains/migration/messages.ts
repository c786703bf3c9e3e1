import type { DiskFormat } from '../../core/model.ts'
import type { SnapshotRecord } from './snapshot-metadata.ts'

/** A disk of a VM that is to move. */
export interface OfferedDisk {
  /** Its name in the domain. */
  readonly target: string
  readonly poolId: string
  /** Pool-relative name; the two names say which disk it is on any host. */
  readonly volume: string
  /** Place (placeOf) at the source. */
  readonly place: string
  readonly format: DiskFormat
  readonly virtualSizeBytes: number
  /** Of the pool's marker, which tells the same storage from a pool of the same name; empty for pools without files. */
  readonly generation: string
  /** How QEMU caches it, as libvirt writes it. */
  readonly cache: string
}

/** A small file of the VM's own directory, gzip and base64. */
export interface OfferedFile {
  readonly name: string
  readonly content: string
}

/** Everything the other host needs to judge a migration. */
export interface MigrationOffer {
  /** Of the migration: the same on both hosts. */
  readonly id: string
  readonly vmId: string
  readonly name: string
  /** It is off, so that nothing moves but what it is made of. */
  readonly off: boolean
  /** As it runs and as it starts the next time, in libvirt's migratable form. Of a VM that is off both are its definition. */
  readonly liveXml: string
  readonly configXml: string
  readonly memoryBytes: number
  /** The guest stands still at the source, and is to do so here. */
  readonly paused: boolean
  readonly copyStorage: boolean
  readonly disks: readonly OfferedDisk[]
  /** Parents first. */
  readonly snapshots: readonly SnapshotRecord[]
  /** The VM's own directory at the source. */
  readonly directory: string
  readonly host: {
    readonly agentId: string
    /** As libvirt counts: 9.0.0 is 9000000. */
    readonly libVersion: number
    readonly qemuVersion: number
    /** `<cpu>` of the host. */
    readonly cpuXml: string
  }
}

/** The other host's judgement. */
export interface OfferCheck {
  /** Every obstacle, for people; empty when it may come. */
  readonly problems: readonly string[]
  /** Names (in the domain) of the disks that would be copied. */
  readonly copy: readonly string[]
  /** That of the offer, as it was understood: an agent that does not know of VMs that are off waits for a guest. */
  readonly off: boolean
  /** How many snapshots of the offer were understood: an agent that knows none of them would lose them. */
  readonly snapshots: number
}

/** The VM as it will be at the target, whose volumes and files are there now. */
export interface OpenedMigration {
  readonly liveXml: string
  readonly configXml: string
  readonly copy: readonly string[]
}

/** QEMU waits at the target. Cookies are libvirt's, base64. */
export interface PreparedMigration {
  readonly uri: string
  readonly cookie: string
}

/** How a migration ended at the target. It is the record of the truth: once told, it is never another one. */
export type MigrationOutcome =
  /** The VM is the target's; `split`: without all of its memory, which does not come any more. An older source leaves all the same. */
  | { readonly state: 'arrived'; readonly cookie: string; readonly split?: boolean | undefined }
  /** It is not there, and will not be. */
  | { readonly state: 'cancelled'; readonly why: string }
  /** Nothing is known of this migration there (any more), and no such VM is there now. That does not say that it never ran there. */
  | { readonly state: 'unknown' }

/** What a source asks of a target. All calls may be repeated. Errors: MIGRATION_PEER_UNAVAILABLE when nobody knows whether it was heard, and those of the target. */
export interface MigrationTarget {
  /** Changes nothing. */
  check(offer: MigrationOffer, signal: AbortSignal): Promise<OfferCheck>
  /** Makes volumes and files. MIGRATION_NOT_EXPECTED, MIGRATION_REFUSED. */
  open(offer: MigrationOffer, files: readonly OfferedFile[], signal: AbortSignal): Promise<OpenedMigration>
  /** Starts a QEMU that waits; not for a VM that is off. `flags` are of virDomainMigrateFlags. */
  prepare(
    id: string,
    call: { readonly xml: string; readonly cookie: string; readonly flags: number },
    signal: AbortSignal,
  ): Promise<PreparedMigration>
  /** A sign of life of the source: without one the target gives up. False when the migration is over there. */
  alive(id: string, signal: AbortSignal): Promise<boolean>
  /** Lets the VM run at the target (with the `cookie` of the transfer; an empty one for a VM that is off, which is defined there), or ends the migration (without). Either way the answer is how it ended. `consoleTail` is what the guest printed since `open` (console-tail.ts). */
  finish(
    id: string,
    vmId: string,
    cookie: string | undefined,
    signal: AbortSignal,
    consoleTail?: string,
  ): Promise<MigrationOutcome>
}
