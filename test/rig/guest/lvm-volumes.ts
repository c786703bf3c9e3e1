/** Runs in the guest: an LVM volume made and deleted by the volume manager beside bare LVM commands; prints the table. The argument is a disk that may be overwritten. Bundled into one file. */
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { startWorker } from '../../../src/app/worker-entry.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { printVolumeTimes } from '../../bench/storage/volume-times.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { tempBase, tool } from '../../host/storage/local-fixture.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'

const GROUP = 'lqx-bench'
const THIN_POOL = 'thin'
const ROUNDS = 10
const SIZE_BYTES = 2 ** 30

if (process.argv[2] === 'worker') await startWorker(process.argv[3] ?? '')
else await compare(process.argv[2] ?? '')

async function compare(disk: string): Promise<void> {
  const environment = storageEnvironment(await tempBase(), { nodeId: 'bench-node' })
  const pools = new PoolManager({ factories: poolBackends(environment), environment, store: memoryCollection() })
  const manager = createVolumeManager(pools)
  const ctx: OpContext = { signal: AbortSignal.timeout(600_000), log: silentLogger }
  const spec = { name: 'v', format: 'raw', sizeBytes: SIZE_BYTES, content: { type: 'empty' }, owner: 'b' } as const
  await tool('vgcreate', '-y', GROUP, disk)
  try {
    await tool('lvcreate', '-y', '--type', 'thin-pool', '-l', '90%FREE', '-n', THIN_POOL, GROUP)
    await pools.start()
    const options = { volumeGroup: GROUP, thinPool: THIN_POOL, devices: [disk] }
    await pools.init({ poolId: 'p', kind: 'LOCAL_LVM', options }, ctx)
    await printVolumeTimes('thin volume of 1 GiB, on the emulated host', ROUNDS, [
      {
        name: 'lvcreate --thin, lvremove',
        create: () => tool('lvcreate', '-y', '-V', '1g', '--thinpool', THIN_POOL, '-n', 'bare', GROUP),
        remove: () => tool('lvremove', '-y', `${GROUP}/bare`),
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
    await tool('vgremove', '-f', '-y', GROUP)
    await tool('pvremove', '-y', disk)
  }
}
