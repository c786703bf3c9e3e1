import { execFile } from 'node:child_process'
import { mkdir } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { CEPH_HOST, missingCeph, startCeph } from '../../host/ceph.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'
import type { StorageSection } from './section.ts'
import { printVolumeTimes } from './volume-times.ts'

const exec = promisify(execFile)
const ROUNDS = 10
const SIZE_BYTES = 2 ** 30

/** An RBD image on a one-node Ceph made and deleted by the volume manager beside bare rbd. */
export const rbd: StorageSection = {
  name: 'rbd',
  missing: missingCeph,
  async run({ directory }) {
    const cluster = path.join(directory, 'ceph')
    const base = path.join(directory, 'agent-side')
    await mkdir(cluster)
    await mkdir(base)
    const ceph = await startCeph(cluster)
    const environment = storageEnvironment(base)
    const pools = new PoolManager({ factories: poolBackends(environment), environment, store: memoryCollection() })
    const manager = createVolumeManager(pools)
    const ctx: OpContext = { signal: AbortSignal.timeout(600_000), log: silentLogger }
    const client = ['--conf', path.join(cluster, 'ceph.conf'), '--id', 'vms', '--keyring', ceph.keyring('vms')]
    const content = { type: 'empty' } as const
    const spec = { name: 'v', format: 'raw', sizeBytes: SIZE_BYTES, content, owner: 'b' } as const
    const options = { monitors: [ceph.address], poolName: 'rbd', user: 'vms', keyringPath: ceph.keyring('vms') }
    try {
      await pools.start()
      await pools.init({ poolId: 'p', kind: 'CEPH_RBD', options }, ctx)
      await printVolumeTimes('image of 1 GiB on a one-node Ceph', ROUNDS, [
        {
          name: 'rbd create, rbd rm',
          create: () => exec('rbd', [...client, 'create', 'rbd/bare', '--size', '1G']),
          remove: () => exec('rbd', [...client, 'rm', '--no-progress', 'rbd/bare']),
        },
        {
          name: 'limiquantix-node volume, recorded, undone by a crash',
          create: () => manager.create('p', spec, ctx),
          remove: () => manager.delete('p', 'v', ctx),
        },
      ])
    } finally {
      pools.stop()
      environment.io.close()
      await exec(CEPH_HOST, ['down', cluster])
    }
  },
}
