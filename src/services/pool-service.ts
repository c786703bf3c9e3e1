import type { Logger, OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { PoolManager } from '../storage/pool-manager.ts'
import type { PoolService } from './contracts.ts'

/** Changing a pool ends by itself after this long, whoever waits for it. */
const CHANGE_TIMEOUT_MS = 120_000

/** PoolService on a pool manager. A caller that hangs up ends its waiting, never a change that was begun. */
export function createPoolService(pools: PoolManager, log: Logger): PoolService {
  const reading = (signal: AbortSignal): OpContext => ({ signal, log })
  const changing = async <T>(signal: AbortSignal, work: (ctx: OpContext) => Promise<T>): Promise<T> => {
    signal.throwIfAborted()
    return abortable(work({ signal: AbortSignal.timeout(CHANGE_TIMEOUT_MS), log }), signal)
  }
  return {
    init: async (config, signal) => changing(signal, (ctx) => pools.init(config, ctx)),
    destroy: async (poolId, signal) => changing(signal, (ctx) => pools.destroy(required(poolId), ctx)),
    info: async (poolId, signal) => pools.info(required(poolId), reading(signal)),
    list: () => Promise.resolve(pools.list()),
    files: async (poolId, path, signal) => pools.files(required(poolId), path, reading(signal)),
  }
}

function required(poolId: string): string {
  if (poolId === '') throw new AgentError('INVALID_REQUEST', 'pool_id is missing')
  return poolId
}
