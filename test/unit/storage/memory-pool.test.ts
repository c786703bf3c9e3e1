import type { StorageEnvironment } from '../../../src/storage/environment.ts'
import { StorageIo } from '../../../src/storage/storage-io.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { createMounter } from '../../../src/platform/mounter.ts'
import { memoryCollection } from '../../conformance/memory-state.ts'
import { memoryPools, memoryStorage } from '../../conformance/memory-pool.ts'
import { describePoolBackend, type PoolFixture } from '../../conformance/pool-backend.ts'

function memoryFixture(): Promise<PoolFixture> {
  const storage = memoryStorage()
  const options = { storage: 'one', password: 'sesame-opens' }
  const environment: StorageEnvironment = {
    io: new StorageIo(silentLogger),
    mounter: createMounter(),
    mountPoints: memoryCollection(),
    paths: { localPools: '/nowhere', formerLocalPools: [], mounts: '/nowhere', reserved: [] },
    nodeId: 'test',
    log: silentLogger,
  }
  return Promise.resolve({
    factory: memoryPools(new Map([['one', storage]])),
    environment,
    config: { poolId: 'pool-1', kind: 'LOCAL_LVM', options },
    rival: { poolId: 'pool-2', kind: 'LOCAL_LVM', options },
    secrets: [options.password],
    contents: () => Promise.resolve([...storage.volumes.keys(), ...storage.unfinished, ...storage.foreign].sort()),
    plantForeign: (name) => Promise.resolve(void storage.foreign.add(name)),
    takeAway: () => Promise.resolve(void (storage.online = false)),
    giveBack: () => Promise.resolve(void (storage.online = true)),
    stall: () => {
      const reached = Promise.withResolvers<void>()
      storage.onCreate = () => {
        reached.resolve()
        return new Promise(() => undefined)
      }
      return Promise.resolve({
        reached: reached.promise,
        end: () => Promise.resolve(void (storage.onCreate = () => Promise.resolve())),
      })
    },
    close: () => Promise.resolve(environment.io.close()),
  })
}

describePoolBackend('in memory', memoryFixture)
