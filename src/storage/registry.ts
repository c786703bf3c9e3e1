import type { PoolBackendFactory } from './backend.ts'
import { localPools } from './backends/local.ts'
import { nfsPools } from './backends/nfs.ts'
import type { StorageEnvironment } from './environment.ts'

/** Every pool type of this version: one line each. */
export function poolBackends(environment: StorageEnvironment): readonly PoolBackendFactory[] {
  return [localPools(environment), nfsPools(environment)]
}
