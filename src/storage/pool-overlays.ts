import type { OpContext } from '../core/context.ts'
import type { ActivePool, PoolAccess } from './pool-access.ts'
import type { StorageIo } from './storage-io.ts'

/** What the records in a pool, which every host that has it writes and sees, say of the volumes that stand on others. */
export class PoolOverlays {
  readonly #pools: Pick<PoolAccess, 'findByPlace'>
  readonly #io: Pick<StorageIo, 'call'>
  readonly #isShared: (pool: ActivePool) => boolean

  /** `isShared`: which pools other hosts have too; default: by their type. */
  constructor(
    pools: Pick<PoolAccess, 'findByPlace'>,
    io: Pick<StorageIo, 'call'>,
    isShared: (pool: ActivePool) => boolean = ({ backend }) => backend.traits.shared,
  ) {
    this.#pools = pools
    this.#io = io
    this.#isShared = isShared
  }

  /** Names, for people, of the volumes in the pool of the file at `place` that are overlays right on it and are not `owner`'s. None for pools that are this host's alone. Errors: POOL_*, DEADLINE_EXCEEDED, WORKER_*. */
  async ofOthers(place: string, owner: string, { signal }: OpContext): Promise<string[]> {
    const pool = place.startsWith('/') ? this.#pools.findByPlace(place) : undefined
    if (pool?.guard === undefined || !this.#isShared(pool)) return []
    const { poolId } = pool.config
    const target = { poolId, isolation: pool.backend.traits.isolation }
    const params = { guard: pool.guard, place, exceptOwner: owner }
    const volumes = await this.#io.call(target, 'overlaysOn', params, { signal })
    return volumes.map((volume) => `volume ${volume} of pool ${poolId}`)
  }
}
