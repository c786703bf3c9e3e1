import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import type { PoolFile } from '../core/model.ts'
import { splitRelative } from '../platform/files.ts'
import type { ActivePool } from './pool-access.ts'
import type { StorageIo } from './storage-io.ts'

/** More entries than this are not collected in memory. */
const MAX_ENTRIES = 200_000

/** Where the control plane looks for ISOs; on a pool that never had one, "none" is the true answer (contract 1.4). */
const OPTIONAL_DIRECTORY = 'iso'

/**
 * One directory of an active file pool, in the order of the contract. Errors: INVALID_PATH, FILE_NOT_FOUND, FILE_NOT_DIRECTORY, LISTING_TOO_LARGE, and whatever
 * a pool that does not answer gives: never an empty list in its place.
 */
export async function listPoolFiles(
  pool: ActivePool,
  path: string,
  io: StorageIo,
  ctx: OpContext,
): Promise<PoolFile[]> {
  const components = splitRelative(path)
  const { guard, config, backend } = pool
  if (guard === undefined) {
    throw new AgentError('FILE_NOT_DIRECTORY', `pool ${config.poolId} (${config.kind}) has volumes, not files`)
  }
  const target = { poolId: config.poolId, isolation: backend.traits.isolation }
  const files: PoolFile[] = []
  const onEvent = (batch: readonly PoolFile[]) => files.push(...batch)
  try {
    const params = { guard, components, limit: MAX_ENTRIES }
    await io.call(target, 'listDirectory', params, { signal: ctx.signal, onEvent })
    return files
  } catch (error) {
    if (isAgentError(error, 'FILE_NOT_FOUND') && components.join('/') === OPTIONAL_DIRECTORY) return []
    throw error
  }
}
