import type { PoolBackend } from './backend.ts'
import { FileLeases } from './file-leases.ts'
import type { LeasePlace } from './guest-lease.ts'
import type { ActivePool } from './pool-access.ts'
import type { StorageIo } from './storage-io.ts'

/** Where the leases on guests are, pool by pool: where the pool's own type has them, else in its files. */
export class GuestLeases {
  readonly #io: StorageIo

  constructor(io: StorageIo) {
    this.#io = io
  }

  /** Undefined for pools that have no place for leases: those of devices have an owner of their own (docs/storage.md). */
  placeIn(pool: ActivePool): LeasePlace | undefined {
    return pool.backend.leases ?? (pool.guard === undefined ? undefined : new FileLeases(this.#io, pool))
  }

  /** Whether `placeIn` has an answer while the pool is in use. */
  hasPlace(backend: PoolBackend): boolean {
    return backend.leases !== undefined || backend.mountPath !== ''
  }
}
