import type { Logger, OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { FileBrowser } from '../storage/browser.ts'
import type { PoolManager } from '../storage/pool-manager.ts'
import type { PoolService } from './contracts.ts'

/** Changing a pool ends by itself after this long, whoever waits for it. */
const CHANGE_TIMEOUT_MS = 120_000

/** PoolService on a pool manager and its file browser. A caller that hangs up ends its waiting and reading, never a change that was begun. */
export function createPoolService(pools: PoolManager, files: FileBrowser, log: Logger): PoolService {
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
    files: (poolId, query, signal) => files.list(required(poolId), query, reading(signal)),
    openFile: async (poolId, path, signal) => files.open(required(poolId), path, reading(signal)),
    async makeDirectory(poolId, path, signal) {
      const outcome = await changing(signal, (ctx) => files.makeDirectory(required(poolId), path, ctx))
      return { made: outcome === 'made' }
    },
    renameFile: async (poolId, from, to, signal) =>
      changing(signal, (ctx) => files.rename(required(poolId), from, to, ctx)),
    deleteFile: async (poolId, path, signal) =>
      changing(signal, async (ctx) => void (await files.delete(required(poolId), path, ctx))),
  }
}

function required(poolId: string): string {
  if (poolId === '') throw new AgentError('INVALID_REQUEST', 'pool_id is missing')
  return poolId
}
