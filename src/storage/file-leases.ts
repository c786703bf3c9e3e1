import type { OpContext } from '../core/context.ts'
import type { DiskSource } from '../core/model.ts'
import { mountOf, readMounts, type MountEntry } from '../platform/mounts.ts'
import type { DiskWriter, GuestLease, GuestLeaseFacts, LeasedDisk, LeasePlace } from './guest-lease.ts'
import type { ActivePool } from './pool-access.ts'
import { callPoolFiles } from './pool-file-calls.ts'
import { hasWriter } from './qemu-img.ts'
import type { StorageIo, StorageMethod, StorageParams, StorageResult } from './storage-io.ts'

/** Leases as files in the pool that holds the disks, which are files too; QEMU's own locks tell who writes. */
export class FileLeases implements LeasePlace {
  readonly refusesSecondWriter = true
  readonly #io: StorageIo
  readonly #pool: ActivePool

  constructor(io: StorageIo, pool: ActivePool) {
    this.#io = io
    this.#pool = pool
  }

  async read(guest: string, ctx: OpContext): Promise<GuestLease | undefined> {
    const found = await this.#call('readGuestLease', { guest }, ctx)
    return found === undefined ? undefined : { token: String(found.token), facts: found.facts }
  }

  async take(guest: string, before: GuestLease | undefined, facts: GuestLeaseFacts, ctx: OpContext) {
    const after = before === undefined ? 0 : Number(before.token)
    const taken = await this.#call('takeGuestLease', { guest, after, facts }, ctx)
    return taken ? { token: String(after + 1), facts } : undefined
  }

  async write(guest: string, { token }: GuestLease, facts: GuestLeaseFacts, ctx: OpContext) {
    const written = await this.#call('writeGuestLease', { guest, token: Number(token), facts }, ctx)
    return written ? { token, facts } : undefined
  }

  async release(guest: string, { token }: GuestLease, ctx: OpContext): Promise<void> {
    await this.#call('releaseGuestLease', { guest, token: Number(token) }, ctx)
  }

  async findWriter(disks: readonly LeasedDisk[], _patienceMs: number, ctx: OpContext): Promise<DiskWriter | undefined> {
    for (const { id, place, format, readonly } of disks) {
      if (readonly || !place.startsWith('/')) continue
      const stated: DiskSource['format'] = format === 'qcow2' ? 'qcow2' : 'raw'
      if (await hasWriter(place, stated, ctx)) return { disk: id }
    }
    return undefined
  }

  async blindSpot(disks: readonly LeasedDisk[]): Promise<string | undefined> {
    const mounts = await readMounts()
    return disks.every(({ place }) => locksReachOthers(place, mounts))
      ? undefined
      : 'locks on its disks are not seen across hosts (NFS without locks)'
  }

  #call<M extends StorageMethod>(
    method: M,
    params: Omit<StorageParams<M>, 'guard'>,
    ctx: OpContext,
  ): Promise<StorageResult<M>> {
    return callPoolFiles(this.#io, this.#pool, 'leases', method, params, ctx)
  }
}

// Locks that QEMU holds are seen by every host that has the file: on NFS unless it is mounted with `nolock` or `local_lock`, and on every file system that is one host's or a cluster's own.
function locksReachOthers(path: string, mounts: readonly MountEntry[]): boolean {
  const mount = mountOf(mounts, path)
  if (mount?.fsType !== 'nfs' && mount?.fsType !== 'nfs4') return mount !== undefined
  const options = mount.superOptions.split(',')
  return !options.some((option) => option === 'nolock' || option === 'local_lock=all' || option === 'local_lock=posix')
}
