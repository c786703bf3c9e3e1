import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { ActivePool } from './pool-access.ts'
import type { StorageIo, StorageMethod, StorageParams, StorageResult } from './storage-io.ts'

/** Calls a method of the storage helper on the files of a pool; `what` is kept in them, for the error. INTERNAL for a pool without files, and the errors of `StorageIo.call`. */
export async function callPoolFiles<M extends StorageMethod>(
  io: Pick<StorageIo, 'call'>,
  { backend, guard }: ActivePool,
  what: string,
  method: M,
  params: Omit<StorageParams<M>, 'guard'>,
  { signal }: OpContext,
): Promise<StorageResult<M>> {
  const { poolId } = backend.config
  if (guard === undefined) throw new AgentError('INTERNAL', `pool ${poolId} has no files for ${what}`)
  const target = { poolId, isolation: backend.traits.isolation }
  return io.call(target, method, { ...params, guard }, { signal })
}
