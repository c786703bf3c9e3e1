import { z } from 'zod'
import { errorText, isAgentError } from '../core/errors.ts'
import type { OpContext } from '../core/context.ts'
import type { CephTools } from './ceph-tools.ts'
import { poolFull, type FailedWrite } from './full-pool.ts'
import { placeText, type RbdPlace } from './rbd-name.ts'
import { spaceOf } from './rbd-space.ts'

const ASK_TIMEOUT_MS = 20_000
const poolsSchema = z.array(z.object({ pool_name: z.string(), flags_names: z.string(), quota_max_bytes: z.number() }))

/**
 * A failure of a write as what it means where the Ceph pool is full or at its quota: POOL_FULL with the numbers. The cluster does not refuse writes to such a pool, it lets them wait, so that all a client sees is a timeout. `write` is asked only then. Other
 * errors, and those of a cluster that cannot be asked, are passed through.
 */
export async function explainFull(
  error: unknown,
  write: () => Promise<FailedWrite>,
  { tools, place }: { readonly tools: CephTools; readonly place: RbdPlace },
  { log }: Pick<OpContext, 'log'>,
): Promise<unknown> {
  if (!isAgentError(error, 'POOL_FULL', 'SERVER_NOT_ANSWERING', 'COMMAND_FAILED')) return error
  const ask = async (args: readonly string[]) => {
    const command = { tool: 'ceph', args: [...args, '--format', 'json'], timeoutMs: ASK_TIMEOUT_MS } as const
    return (await tools.run(command, AbortSignal.timeout(ASK_TIMEOUT_MS))).stdout
  }
  try {
    const pools = poolsSchema.parse(JSON.parse(await ask(['osd', 'pool', 'ls', 'detail'])))
    const pool = pools.find(({ pool_name }) => pool_name === place.pool)
    if (pool?.flags_names.split(',').includes('full') !== true && !isAgentError(error, 'POOL_FULL')) return error
    const { usedBytes, availableBytes } = spaceOf(await ask(['df', 'detail']), place.pool)
    const quotaBytes = pool?.quota_max_bytes ?? 0
    const limit =
      quotaBytes > 0
        ? { quotaBytes, remedy: `raise the quota: ceph osd pool set-quota ${place.pool} max_bytes` }
        : { remedy: 'add space to the cluster' }
    const names = { name: `RBD pool ${placeText(place)}`, holder: `Ceph pool ${place.pool}` }
    return poolFull({ ...names, usedBytes, availableBytes, ...limit }, await write(), error)
  } catch (failure) {
    log.debug({ pool: place.pool, err: errorText(failure) }, 'whether a Ceph pool is full cannot be told')
    return error
  }
}
