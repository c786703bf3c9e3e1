import { formatBytes } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'

interface Reservation {
  readonly bytes: number
  readonly purpose: string
}

/** Space promised to running jobs, per pool. Bytes that a job has written are counted twice until it releases: too careful, never too generous. */
export class Reservations {
  readonly #pools = new Map<string, Set<Reservation>>()

  /** Promises `bytes` of the `availableBytes` a pool has now; POOL_FULL with the numbers when the rest is not enough. `name` is what the error calls it. */
  take(
    poolId: string,
    bytes: number,
    availableBytes: number,
    purpose: string,
    name = `pool ${poolId}`,
  ): { release(): void } {
    const reserved = this.reservedBytes(poolId)
    if (bytes > availableBytes - reserved) {
      throw new AgentError(
        'POOL_FULL',
        `${name} has ${formatBytes(availableBytes)} left, ${formatBytes(reserved)} of them promised to running jobs; ${formatBytes(bytes)} are needed (${purpose})`,
        {
          details: {
            availableBytes: String(availableBytes),
            reservedBytes: String(reserved),
            neededBytes: String(bytes),
          },
        },
      )
    }
    const reservation = { bytes, purpose }
    const pool = this.#pools.get(poolId) ?? new Set<Reservation>()
    this.#pools.set(poolId, pool.add(reservation))
    return { release: () => void pool.delete(reservation) }
  }

  /** Bytes promised and not released. */
  reservedBytes(poolId: string): number {
    return [...(this.#pools.get(poolId) ?? [])].reduce((sum, { bytes }) => sum + bytes, 0)
  }

  /** What the jobs with promises on a pool are. */
  purposes(poolId: string): string[] {
    return [...(this.#pools.get(poolId) ?? [])].map(({ purpose }) => purpose)
  }
}
