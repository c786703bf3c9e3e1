import { randomUUID } from 'node:crypto'
import { TEMP_SUFFIX } from '../../platform/files.ts'
import { isGuestLeaseFacts, type GuestLeaseFacts } from '../guest-lease.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { LEASES_DIRECTORY, RECORDS_DIRECTORY } from '../pool-marker.ts'
import { LeaseFiles, type LeaseFile } from './lease-files.ts'
import { makeDirectories, openPool } from './pool-root.ts'

/** Parameters of the methods below; each uses what it needs. */
interface LeaseParams {
  readonly guard: PoolGuard
  /** UUID of the guest. */
  readonly guest: string
}

const leases = new LeaseFiles<GuestLeaseFacts>(isGuestLeaseFacts, (guest) => `VM ${guest}`)

async function directoryOf(guard: PoolGuard) {
  await using root = await openPool(guard)
  return await makeDirectories(root, [RECORDS_DIRECTORY, LEASES_DIRECTORY], [])
}

/** The lease on a guest, if there is one. Errors of all: those of `openPool`. */
export async function readGuestLease({ guard, guest }: LeaseParams): Promise<LeaseFile<GuestLeaseFacts> | undefined> {
  await using directory = await directoryOf(guard)
  return await leases.read(directory, guest)
}

/** Takes the lease after the one with token `after` (0: there is none); false when another host was faster. */
export async function takeGuestLease({
  guard,
  guest,
  after,
  facts,
}: LeaseParams & { readonly after: number; readonly facts: GuestLeaseFacts }): Promise<boolean> {
  await using directory = await directoryOf(guard)
  return await leases.take(directory, guest, after, facts, `.lease-${randomUUID()}${TEMP_SUFFIX}`)
}

/** Says something else with the lease that this host has; false when it was taken over. */
export async function writeGuestLease({
  guard,
  guest,
  token,
  facts,
}: LeaseParams & { readonly token: number; readonly facts: GuestLeaseFacts }): Promise<boolean> {
  await using directory = await directoryOf(guard)
  return await leases.beat(directory, guest, token, facts)
}

/** Gives the lease back; that of another holder stays. */
export async function releaseGuestLease({
  guard,
  guest,
  token,
}: LeaseParams & { readonly token: number }): Promise<void> {
  await using directory = await directoryOf(guard)
  await leases.release(directory, guest, token)
}
