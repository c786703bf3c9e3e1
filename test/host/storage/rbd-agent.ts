import { silentLogger } from '../../../src/core/context.ts'
import type { PoolConfig } from '../../../src/core/model.ts'
import type { VolumeSpec } from '../../../src/storage/backend.ts'
import { cephRbdPools } from '../../../src/storage/backends/ceph-rbd.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'

/** A process that makes one volume, for tests that kill it: resumes the pool of the JSON argument and creates the volume. */
const { base, config, spec } = JSON.parse(process.argv[2] ?? '') as {
  base: string
  config: PoolConfig
  spec: VolumeSpec
}
const environment = storageEnvironment(base)
const backend = cephRbdPools(environment).create(config)
const ctx = { signal: AbortSignal.timeout(100_000), log: silentLogger }
await backend.activate({ mode: 'resume' }, ctx)
await backend.createVolume(spec, ctx)
environment.io.close()
