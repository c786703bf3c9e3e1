import { execFile } from 'node:child_process'
import { mkdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { promisify } from 'node:util'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'
import type { StorageSection } from './section.ts'
import { printVolumeTimes } from './volume-times.ts'

const exec = promisify(execFile)
const ROUNDS = 20
const SIZE_BYTES = 2 ** 30

/** A qcow2 volume of a local pool made and deleted by the volume manager beside bare qemu-img and rm, and beside both with the syncs that make them last. */
export const volumes: StorageSection = {
  name: 'volumes',
  async run({ directory }) {
    const base = path.join(directory, 'volumes')
    await mkdir(base)
    const environment = storageEnvironment(base)
    const pools = new PoolManager({ factories: poolBackends(environment), environment, store: memoryCollection() })
    const manager = createVolumeManager(pools)
    const ctx: OpContext = { signal: AbortSignal.timeout(600_000), log: silentLogger }
    const file = path.join(base, 'bare.qcow2')
    const bare = () => exec('qemu-img', ['create', '-q', '-f', 'qcow2', file, String(SIZE_BYTES)])
    const sync = (place: string) => exec('sync', [place])
    const content = { type: 'empty' } as const
    const spec = { name: 'v', format: 'qcow2', sizeBytes: SIZE_BYTES, content, owner: 'b' } as const
    try {
      await pools.start()
      await pools.init({ poolId: 'p', kind: 'LOCAL_DIR', options: { path: path.join(base, 'pool') } }, ctx)
      await printVolumeTimes('qcow2 volume of 1 GiB on a local pool', ROUNDS, [
        { name: 'qemu-img create, rm', create: bare, remove: () => rm(file) },
        {
          name: 'the same with sync of file and directory',
          async create() {
            await bare()
            await sync(file)
            await sync(base)
          },
          async remove() {
            await rm(file)
            await sync(base)
          },
        },
        {
          name: 'limiquantix-node volume, durable, recorded',
          create: () => manager.create('p', spec, ctx),
          remove: () => manager.delete('p', 'v', ctx),
        },
      ])
    } finally {
      pools.stop()
      environment.io.close()
    }
  },
}
