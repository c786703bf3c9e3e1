import type { CreateVmRequest } from '../core/model.ts'
import type { OperationManager } from '../operations/manager.ts'
import { isFinal, type OperationRecord } from '../operations/operation.ts'
import type { SagaJournal } from '../operations/saga.ts'
import { readAlias } from '../storage/pool-alias.ts'
import type { ActivePool, PoolUserSource } from '../storage/pool-access.ts'
import { CREATE_KIND } from './create.ts'
import type { CreateParams, CreateState } from './create-steps.ts'

/** Names the VMs that are being created with something in a pool: until they are defined no domain shows it. `aliases` as in StoragePaths. */
export function creationPoolUsers(
  operations: OperationManager,
  { defaultPoolId, aliases }: { readonly defaultPoolId: string; readonly aliases: string },
): PoolUserSource {
  return (pool) => {
    const creations = operations.list(CREATE_KIND).filter(({ state }) => !isFinal(state)) as OperationRecord<
      CreateParams,
      unknown,
      SagaJournal<CreateState>
    >[]
    const users = creations.flatMap(({ params: { request }, journal }) => {
      const name = `the creation of VM ${request.name} (${request.vmId})`
      const places = (journal?.state.uses ?? []).filter((place) => pool.backend.holds(place))
      const named = names(request, pool, defaultPoolId, aliases) ? [{ name }] : []
      return [...named, ...places.map((path) => ({ name, path }))]
    })
    return Promise.resolve(users)
  }
}

// Whether a request speaks of the pool, known before its paths were looked up.
function names({ spec }: CreateVmRequest, { backend, config }: ActivePool, defaultPoolId: string, aliases: string) {
  const paths = [
    ...spec.disks.flatMap((disk) => [disk.path, disk.backingFile]),
    ...spec.cdroms.map((cdrom) => cdrom.isoPath),
  ].filter((path) => path.startsWith('/'))
  return (
    spec.disks.some((disk) => (disk.poolId === '' ? defaultPoolId : disk.poolId) === config.poolId) ||
    paths.some((path) => backend.holds(path) || readAlias(aliases, path)?.poolId === config.poolId)
  )
}
