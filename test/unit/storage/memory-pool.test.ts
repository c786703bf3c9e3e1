import { memoryBytes, memoryPools, memoryStorage } from '../../conformance/memory-pool.ts'
import { describePoolBackend, type PoolFixture } from '../../conformance/pool-backend.ts'
import { storageEnvironment } from '../../support/storage-environment.ts'

function memoryFixture(): Promise<PoolFixture> {
  const storage = memoryStorage()
  const options = { storage: 'one', password: 'sesame-opens' }
  const environment = storageEnvironment('/nowhere')
  return Promise.resolve({
    factory: memoryPools(new Map([['one', storage]])),
    environment,
    config: { poolId: 'pool-1', kind: 'LOCAL_LVM', options },
    rival: { poolId: 'pool-2', kind: 'LOCAL_LVM', options },
    secrets: [options.password],
    bytes: memoryBytes(storage),
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
