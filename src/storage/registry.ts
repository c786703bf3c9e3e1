import type { PoolBackendFactory } from './backend.ts'
import { cephFsPools } from './backends/ceph-fs.ts'
import { cephRbdPools } from './backends/ceph-rbd.ts'
import { iscsiPools } from './backends/iscsi.ts'
import { localPools } from './backends/local.ts'
import { lvmPools } from './backends/lvm.ts'
import { nfsPools } from './backends/nfs.ts'
import type { StorageEnvironment } from './environment.ts'

/** Every pool type of this version: one line each. */
export function poolBackends(environment: StorageEnvironment): readonly PoolBackendFactory[] {
  return [
    localPools(environment),
    nfsPools(environment),
    cephFsPools(environment),
    cephRbdPools(environment),
    lvmPools(environment),
    iscsiPools(environment),
  ]
}
