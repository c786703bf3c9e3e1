import { z } from 'zod'
import { monotonicMs } from '../platform/clock.ts'
import type { CephTools } from './ceph-tools.ts'

/** The client is written in Python: starting it costs more than everything else of a probe. */
const PERIOD_MS = 30_000

const schema = z.object({
  pools: z.array(
    z.object({
      name: z.string(),
      stats: z.object({ stored: z.number(), max_avail: z.number(), quota_bytes: z.number().default(0) }),
    }),
  ),
})

/** Space of a Ceph pool in bytes of data, redundancy taken off. It is that of the whole pool: a namespace has no numbers of its own. */
export interface RbdSpace {
  readonly totalBytes: number
  readonly usedBytes: number
  readonly availableBytes: number
}

/** Space of one Ceph pool, asked of the monitors at most twice a minute. */
export class RbdSpaceWatch {
  readonly #tools: CephTools
  readonly #pool: string
  #last: { space: RbdSpace; at: number } | undefined

  constructor(tools: CephTools, pool: string) {
    this.#tools = tools
    this.#pool = pool
  }

  /** Errors: those of CephTools.run. */
  async space(signal: AbortSignal, timeoutMs: number): Promise<RbdSpace> {
    if (this.#last === undefined || monotonicMs() - this.#last.at >= PERIOD_MS) {
      const args = ['df', 'detail', '--format', 'json']
      const { stdout } = await this.#tools.run({ tool: 'ceph', args, timeoutMs }, signal)
      this.#last = { space: spaceOf(stdout, this.#pool), at: monotonicMs() }
    }
    return this.#last.space
  }

  /** The next question goes to the monitors. */
  forget(): void {
    this.#last = undefined
  }
}

/** The space of `pool` in the JSON of `ceph df detail`: what can still be stored is bounded by the disks and by a quota. */
export function spaceOf(json: string, pool: string): RbdSpace {
  const stats = schema.parse(JSON.parse(json)).pools.find(({ name }) => name === pool)?.stats
  const usedBytes = stats?.stored ?? 0
  const free = stats?.max_avail ?? 0
  const quota = stats?.quota_bytes ?? 0
  const availableBytes = quota > 0 ? Math.max(0, Math.min(free, quota - usedBytes)) : free
  return { totalBytes: usedBytes + availableBytes, usedBytes, availableBytes }
}
