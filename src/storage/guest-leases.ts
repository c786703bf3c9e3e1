import type { OpContext } from '../core/context.ts'
import type { ActivePool } from './pool-access.ts'
import { callPoolFiles } from './pool-file-calls.ts'
import type { StorageIo, StorageMethod, StorageParams, StorageResult } from './storage-io.ts'
import type { GuestLease, GuestLeaseFacts } from './worker/guest-leases.ts'

/** Leases on guests, as files in the pools that hold their disks. Errors: POOL_*, DEADLINE_EXCEEDED, WORKER_*. */
export class GuestLeases {
  readonly #io: StorageIo

  constructor(io: StorageIo) {
    this.#io = io
  }

  read(pool: ActivePool, guest: string, ctx: OpContext): Promise<GuestLease | undefined> {
    return this.#call(pool, 'readGuestLease', { guest }, ctx)
  }

  take(pool: ActivePool, guest: string, after: number, facts: GuestLeaseFacts, ctx: OpContext): Promise<boolean> {
    return this.#call(pool, 'takeGuestLease', { guest, after, facts }, ctx)
  }

  write(pool: ActivePool, guest: string, token: number, facts: GuestLeaseFacts, ctx: OpContext): Promise<boolean> {
    return this.#call(pool, 'writeGuestLease', { guest, token, facts }, ctx)
  }

  release(pool: ActivePool, guest: string, token: number, ctx: OpContext): Promise<void> {
    return this.#call(pool, 'releaseGuestLease', { guest, token }, ctx)
  }

  #call<M extends StorageMethod>(
    pool: ActivePool,
    method: M,
    params: Omit<StorageParams<M>, 'guard'>,
    ctx: OpContext,
  ): Promise<StorageResult<M>> {
    return callPoolFiles(this.#io, pool, 'leases', method, params, ctx)
  }
}
