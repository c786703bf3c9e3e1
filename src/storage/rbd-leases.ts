import { randomUUID } from 'node:crypto'
import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import { parseShape } from '../core/shape.ts'
import { delay, monotonicMs } from '../platform/clock.ts'
import {
  isGuestLeaseFacts,
  type DiskWriter,
  type GuestLease,
  type GuestLeaseFacts,
  type LeasedDisk,
  type LeasePlace,
} from './guest-lease.ts'
import type { RbdImages } from './rbd-images.ts'
import type { RbdMarker } from './rbd-marker.ts'
import type { RbdObjects } from './rbd-objects.ts'

const LOCK = 'guest'
/** Tools that run at once for the leases of one pool, however many guests are looked at. */
const PARALLEL = 4
/** Tools open images for a tenth of a second. */
const LOOK_AGAIN_MS = 500
const MOMENT_MS = 3_000
/** Without it a new writer does not shut out a client that was cut off. */
const NEEDED_FEATURE = 'exclusive-lock'

/** What the leases of one RBD pool are built on. */
export interface RbdLeasesOptions {
  readonly poolId: string
  readonly objects: RbdObjects
  readonly images: RbdImages
  readonly marker: RbdMarker
  /** Name of the image at a place (placeOf) in this pool. */
  readonly imageAt: (place: string) => string
}

/**
 * Leases on guests as locks of the cluster (cls_lock) on an object per guest; who has an image open is told by its watchers. The lock has its facts from the moment in which it is taken, and is broken only by who has read whose it is: that makes every change one of "if it is still so".
 * The cluster hands an image from one client to the next without asking whose guest it is: a second QEMU is not refused.
 */
export class RbdLeases implements LeasePlace {
  readonly refusesSecondWriter = false
  readonly #options: RbdLeasesOptions
  readonly #slots = new KeyedLock()
  #next = 0

  constructor(options: RbdLeasesOptions) {
    this.#options = options
  }

  async read(guest: string, { signal }: OpContext): Promise<GuestLease | undefined> {
    const locker = await this.#call(signal, () => this.#options.objects.locker(objectOf(guest), LOCK, signal))
    if (locker === undefined) return undefined
    const { client, cookie, description } = locker
    return { token: `${client} ${cookie}`, facts: parseShape(description, isGuestLeaseFacts) }
  }

  async take(guest: string, before: GuestLease | undefined, facts: GuestLeaseFacts, ctx: OpContext) {
    const { objects, marker } = this.#options
    const { signal } = ctx
    return this.#call(signal, async () => {
      await marker.check(signal)
      if (before !== undefined && !(await this.#break(guest, before, signal))) return undefined
      // Between these two it is free: who takes it then has looked at the watchers, and is who has it.
      const cookie = randomUUID()
      const lock = { name: LOCK, cookie, description: JSON.stringify(facts) }
      if (!(await objects.lockFor(objectOf(guest), lock, signal))) return undefined
      const locker = await objects.locker(objectOf(guest), LOCK, signal)
      return locker?.cookie === cookie ? { token: `${locker.client} ${cookie}`, facts } : undefined
    })
  }

  async write(guest: string, lease: GuestLease, facts: GuestLeaseFacts, ctx: OpContext) {
    return this.take(guest, lease, facts, ctx)
  }

  async release(guest: string, lease: GuestLease, { signal }: OpContext): Promise<void> {
    await this.#call(signal, () => this.#break(guest, lease, signal))
  }

  async findWriter(
    disks: readonly LeasedDisk[],
    patienceMs: number,
    { signal }: OpContext,
  ): Promise<DiskWriter | undefined> {
    const until = monotonicMs() + patienceMs
    // Whatever time those before it took.
    const patience = () => Math.max(until, monotonicMs() + Math.min(patienceMs, MOMENT_MS))
    for (const { id, place, readonly } of disks) {
      if (readonly) continue
      for (const last = patience(); ;) {
        const [watcher] = await this.#call(signal, () =>
          this.#options.images.watchers(this.#options.imageAt(place), signal),
        )
        if (watcher === undefined) break
        const { address, client } = watcher
        if (monotonicMs() >= last)
          return { disk: id, who: `${address.replace(/:0\/\d+$/, '')} (Ceph client ${client})` }
        await delay(LOOK_AGAIN_MS, signal)
      }
    }
    return undefined
  }

  async blindSpot(disks: readonly LeasedDisk[], { signal }: OpContext): Promise<string | undefined> {
    for (const { id, place, readonly } of disks) {
      if (readonly) continue
      const info = await this.#call(signal, () => this.#options.images.info(this.#options.imageAt(place), signal))
      if (info !== undefined && !info.features.includes(NEEDED_FEATURE))
        return `the image of its disk ${id} has no ${NEEDED_FEATURE}, so that a host that was cut off could write to it again`
    }
    return undefined
  }

  #break(guest: string, { token }: GuestLease, signal: AbortSignal): Promise<boolean> {
    const [client = '', cookie = ''] = token.split(' ')
    return this.#options.objects.breakLock(objectOf(guest), { name: LOCK, client, cookie }, signal)
  }

  // What the cluster does not answer is a pool that is not available, to whoever starts a guest.
  async #call<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    return this.#slots.run(String(this.#next++ % PARALLEL), signal, async () => {
      try {
        return await work()
      } catch (error) {
        if (!isAgentError(error, 'SERVER_NOT_ANSWERING', 'SERVER_UNKNOWN', 'LOGIN_DENIED', 'CEPH_POOL_MISSING'))
          throw error
        const { poolId } = this.#options
        throw new AgentError('POOL_UNAVAILABLE', `pool ${poolId} is not available: ${error.message}`, {
          cause: error,
          details: { reason: error.reason },
        })
      }
    })
  }
}

function objectOf(guest: string): string {
  return `limiquantix.lease.${guest}`
}
