import type { OpContext } from '../core/context.ts'
import { isOneOf, isShape, isText } from '../core/shape.ts'

/** What a lease on a guest says: which host has it, and since when. */
export interface GuestLeaseFacts {
  /** Agent id of the host. */
  readonly holder: string
  /** Its name, for people. */
  readonly host: string
  /** ISO 8601, by the clock of that host. */
  readonly since: string
  /**
   * `claimed`: the guest is about to start there, or its disks are worked on while it is off: that nobody writes to them proves nothing. `running`: it was seen to run.
   * `saved`: it is off there, and its memory is kept with the disks as they are.
   */
  readonly phase: 'claimed' | 'running' | 'saved'
}

/** Checks what another host has written. */
export const isGuestLeaseFacts = isShape<GuestLeaseFacts>({
  holder: isText,
  host: isText,
  since: isText,
  phase: isOneOf(['claimed', 'running', 'saved']),
})

/** A lease on a guest as it was read. `facts` is undefined while they cannot be read. */
export interface GuestLease {
  /** Of this taking and of no other one. */
  readonly token: string
  readonly facts: GuestLeaseFacts | undefined
}

/** What of a disk tells whether somebody writes to it. */
export interface LeasedDisk {
  readonly id: string
  /** placeOf */
  readonly place: string
  /** As libvirt calls it. */
  readonly format: string
  readonly readonly: boolean
  /** Of a Ceph image: `host:port` of the monitors of its cluster. */
  readonly monitors?: readonly string[]
}

/** Somebody who has a disk open for writing. */
export interface DiskWriter {
  /** Id of the disk. */
  readonly disk: string
  /** Who, for people; absent when that is not known. */
  readonly who?: string
}

/** Where the leases on guests with disks in one pool are, and what proves that nobody writes to these. Errors of all: POOL_*, DEADLINE_EXCEEDED, WORKER_*. */
export interface LeasePlace {
  /** Whether a QEMU that opens a disk is refused by the storage while another one writes to it. Without, a guest has to be kept from starting by what is known of writers before. */
  readonly refusesSecondWriter: boolean
  read(guest: string, ctx: OpContext): Promise<GuestLease | undefined>
  /** Takes the lease after `before` as it was read; undefined when that is not the lease any more, or another host was faster. Of all that try, one succeeds. */
  take(
    guest: string,
    before: GuestLease | undefined,
    facts: GuestLeaseFacts,
    ctx: OpContext,
  ): Promise<GuestLease | undefined>
  /** Says something else with a lease of this host, which may be another lease then; undefined when it was taken over. */
  write(guest: string, lease: GuestLease, facts: GuestLeaseFacts, ctx: OpContext): Promise<GuestLease | undefined>
  /** Gives a lease back; any other one stays. */
  release(guest: string, lease: GuestLease, ctx: OpContext): Promise<void>
  /** Who has one of the disks open for writing, on this host or another one. Who is seen has `patienceMs` to let go of it. */
  findWriter(disks: readonly LeasedDisk[], patienceMs: number, ctx: OpContext): Promise<DiskWriter | undefined>
  /** Why no writer to be seen does not prove that there is none, in words; undefined when it does. */
  blindSpot(disks: readonly LeasedDisk[], ctx: OpContext): Promise<string | undefined>
}
