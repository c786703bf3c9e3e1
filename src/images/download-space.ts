import type { OpContext } from '../core/context.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { Reservations } from '../storage/reservations.ts'
import type { DownloadParams } from './download-plan.ts'

/** What space is needed for: the bytes as they come, what is unpacked or converted out of them, and the volume that is written in the end. */
export type SpacePart = 'source' | 'further' | 'volume'

/** The space one job was promised: in its pool, or in the staging directory or the allowed base directory it works in. */
export class DownloadSpace {
  readonly #params: DownloadParams
  readonly #pools: PoolAccess
  readonly #local: Reservations
  readonly #taken = new Map<SpacePart, { readonly bytes: number; release(): void }>()

  /** `local` counts what all jobs were promised in directories that belong to no pool. */
  constructor(params: DownloadParams, pools: PoolAccess, local: Reservations) {
    this.#params = params
    this.#pools = pools
    this.#local = local
  }

  /** Promises `bytes` for `part`, in the place of what was promised for it before; `freeBytes` is what the file system of the target's directory has now. Error: POOL_FULL with the numbers. */
  async take(part: SpacePart, bytes: number, freeBytes: number, ctx: OpContext): Promise<void> {
    this.release(part)
    if (bytes <= 0) return
    const { poolId, volume, base } = this.#params
    const purpose = this.#purposeOf(part)
    const inPool = volume === undefined ? poolId !== '' : part === 'volume'
    const promise = inPool
      ? await this.#pools.reserve(poolId, bytes, ctx, purpose)
      : this.#local.take(base, bytes, freeBytes, purpose, `directory ${base}`)
    this.#taken.set(part, { bytes, release: () => promise.release() })
  }

  /** What is promised for `parts` now: the least that they need. */
  promisedBytes(...parts: SpacePart[]): number {
    return parts.reduce((sum, part) => sum + (this.#taken.get(part)?.bytes ?? 0), 0)
  }

  /** Gives parts back; all of them when none is named. */
  release(...parts: SpacePart[]): void {
    for (const part of parts.length === 0 ? [...this.#taken.keys()] : parts) {
      this.#taken.get(part)?.release()
      this.#taken.delete(part)
    }
  }

  #purposeOf(part: SpacePart): string {
    const { fileName } = this.#params
    return `${{ source: 'transfer of', further: 'what is made of', volume: 'volume of' }[part]} ${fileName}`
  }
}
