import { withDeadline, type OpContext } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { delay } from '../platform/clock.ts'
import type { DiscoveredPool, PoolBackendFactory } from './backend.ts'
import { discoverPools } from './discovery.ts'
import type { StorageEnvironment } from './environment.ts'

export interface LostPoolsOptions {
  readonly factories: readonly PoolBackendFactory[]
  readonly environment: StorageEnvironment
  /** Places (placeOf) of the disks and media of all domains, as soon as they are known. Rejects when `signal` fires before. */
  readonly guestPlaces: (signal: AbortSignal) => Promise<readonly string[]>
  /** Directories of the pools that need not be found. */
  readonly knownRoots: () => readonly string[]
  /** Takes up what was found, unless the pool is known by now. */
  readonly takeUp: (found: DiscoveredPool, ctx: OpContext) => Promise<void>
}

const DISCOVERY_TIMEOUT_MS = 15_000
/** How long a search waits for libvirt to tell what guests use. */
const GUESTS_TIMEOUT_MS = 3_000

/** Finds pools again whose records the agent has lost: at its start whatever shows, later the one that is asked for. */
export class LostPools {
  readonly #options: LostPoolsOptions

  constructor(options: LostPoolsOptions) {
    this.#options = options
  }

  /** The pool with `poolId`, if the host proves it. */
  async find(poolId: string, ctx: OpContext): Promise<DiscoveredPool | undefined> {
    const [found] = await this.#discover(ctx, await this.#placesOfGuests(ctx), poolId)
    return found
  }

  /**
   * Takes up all that show: first by what is mounted, then by what guests use. Libvirt may come up much later than the agent: this ends without waiting for it for
   * long, and the search goes on. Never rejects.
   */
  async takeUpAll(ctx: OpContext): Promise<void> {
    await this.#takeUp(ctx, [])
    const rest = this.#options.guestPlaces(ctx.signal).then(
      (places) => (places.length === 0 ? undefined : this.#takeUp(ctx, places)),
      () => undefined,
    )
    await Promise.race([rest, delay(GUESTS_TIMEOUT_MS, ctx.signal).catch(() => undefined)])
  }

  async #takeUp(ctx: OpContext, guestPlaces: readonly string[]): Promise<void> {
    const warn = (error: unknown, pool?: string) => {
      if (ctx.signal.aborted) return
      ctx.log.warn(
        { ...(pool === undefined ? {} : { pool }), err: errorText(error) },
        'a lost pool is not taken up again',
      )
    }
    try {
      for (const found of await this.#discover(ctx, guestPlaces)) {
        // One that cannot be taken up is left for whoever asks, and keeps no other away.
        await this.#options.takeUp(found, ctx).catch((error: unknown) => warn(error, found.config.poolId))
      }
    } catch (error) {
      warn(error)
    }
  }

  async #discover(ctx: OpContext, guestPlaces: readonly string[], poolId?: string): Promise<DiscoveredPool[]> {
    const { factories, environment, knownRoots } = this.#options
    const search = { knownRoots: knownRoots(), guestPlaces, ...(poolId === undefined ? {} : { poolId }) }
    return discoverPools(search, factories, environment, withDeadline(ctx, DISCOVERY_TIMEOUT_MS))
  }

  async #placesOfGuests(ctx: OpContext): Promise<readonly string[]> {
    const { signal } = withDeadline(ctx, GUESTS_TIMEOUT_MS)
    return this.#options.guestPlaces(signal).catch(() => {
      ctx.signal.throwIfAborted()
      return []
    })
  }
}
