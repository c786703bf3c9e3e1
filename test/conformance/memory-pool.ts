import { isDeepStrictEqual } from 'node:util'
import { AgentError } from '../../src/core/errors.ts'
import { abortable, KeyedLock } from '../../src/core/keyed-lock.ts'
import type { PoolConfig, Volume } from '../../src/core/model.ts'
import type { PoolBackend, PoolBackendFactory, PoolTraits, VolumeSpec } from '../../src/storage/backend.ts'
import { unreachable } from '../../src/storage/probe-result.ts'
import { parseVolumeName } from '../../src/storage/volume-name.ts'

/** The "disk" of an in-memory pool: outlives backends, as real storage outlives the agent. */
export interface MemoryStorage {
  online: boolean
  poolId: string | undefined
  readonly volumes: Map<string, { spec: VolumeSpec; sizeBytes: number }>
  /** Half-made volumes. */
  readonly unfinished: Set<string>
  /** Names taken by something that is not ours. */
  readonly foreign: Set<string>
  /** Called in the middle of every creation; the creation goes on when it resolves. */
  onCreate: () => Promise<void>
}

/** Empty storage that is there. */
export function memoryStorage(): MemoryStorage {
  return {
    online: true,
    poolId: undefined,
    volumes: new Map(),
    unfinished: new Set(),
    foreign: new Set(),
    onCreate: () => Promise.resolve(),
  }
}

const TRAITS: PoolTraits = { shared: false, access: 'block', formats: ['raw', 'qcow2'], isolation: 'common' }

/** A backend that keeps volumes in memory: shows that generic code and the suite do not depend on files. Option: `storage`, a key of `storages`. */
export function memoryPools(storages: ReadonlyMap<string, MemoryStorage>): PoolBackendFactory {
  return {
    kind: 'LOCAL_LVM',
    traits: TRAITS,
    create(config) {
      const storage = storages.get(String(config.options['storage']))
      if (storage === undefined) throw new AgentError('POOL_CONFIG_INVALID', 'memory.storage: no such storage')
      return memoryPool(config, storage)
    },
  }
}

function memoryPool(config: PoolConfig, storage: MemoryStorage): PoolBackend {
  const { poolId } = config
  const locks = new KeyedLock()
  let active = false
  const check = () => {
    if (!storage.online) throw new AgentError('POOL_PATH_MISSING', `the storage of pool ${poolId} is gone`)
    if (storage.poolId !== poolId) {
      throw new AgentError(
        'POOL_IDENTITY_MISMATCH',
        `the storage holds pool ${storage.poolId ?? 'nothing'}, not ${poolId}`,
      )
    }
  }
  const device = (name: string) => `/dev/memory/${poolId}/${name}`
  const view = (name: string): Volume | undefined => {
    const found = storage.volumes.get(name)
    if (found === undefined) return undefined
    const source = { type: 'block', device: device(name), format: 'raw' } as const
    return { poolId, name, format: found.spec.format, virtualSizeBytes: found.sizeBytes, allocatedBytes: 0, source }
  }
  const get = (name: string): Volume => {
    const volume = view(name)
    if (volume === undefined) throw new AgentError('VOLUME_NOT_FOUND', `volume ${name} is missing in pool ${poolId}`)
    return volume
  }
  return {
    kind: 'LOCAL_LVM',
    traits: TRAITS,
    config,
    mountPath: '',
    activate(request) {
      return attempt(() => {
        if (!storage.online) throw new AgentError('POOL_PATH_MISSING', `the storage of pool ${poolId} is gone`)
        if (request.mode === 'initialise') storage.poolId ??= poolId
        check()
        const outcome = active ? 'already-active' : 'activated'
        active = true
        return { outcome }
      })
    },
    deactivate() {
      const outcome = active ? 'deactivated' : 'already-inactive'
      active = false
      return Promise.resolve(outcome)
    },
    probe() {
      try {
        check()
      } catch (error) {
        return Promise.resolve(unreachable(error, 0))
      }
      const space = { totalBytes: 2 ** 40, usedBytes: 0, availableBytes: 2 ** 40, volumeCount: storage.volumes.size }
      const state = { health: 'HEALTHY', reason: 'OK', message: '' } as const
      return Promise.resolve({ ...space, ...state, observedAt: Date.now(), probeLatencyMs: 0 })
    },
    listVolumes: () => attempt(() => (check(), [...storage.volumes.keys()].sort().map(get))),
    getVolume: (name) => attempt(() => (parseVolumeName(name), check(), view(name))),
    async createVolume(spec, ctx) {
      parseVolumeName(spec.name)
      return locks.run(spec.name, ctx.signal, async () => {
        check()
        const present = storage.volumes.get(spec.name)
        if (present !== undefined) {
          if (isDeepStrictEqual(present.spec, spec)) return get(spec.name)
          throw new AgentError('VOLUME_CONFLICT', `volume ${spec.name} is there with other properties`)
        }
        if (storage.foreign.has(spec.name)) throw new AgentError('DISK_FILE_FOREIGN', `${spec.name} is not ours`)
        storage.unfinished.add(spec.name)
        try {
          await abortable(storage.onCreate(), ctx.signal)
          storage.volumes.set(spec.name, { spec, sizeBytes: spec.sizeBytes })
        } finally {
          storage.unfinished.delete(spec.name)
        }
        return get(spec.name)
      })
    },
    deleteVolume: (name, _ctx, owner) =>
      attempt(() => {
        parseVolumeName(name)
        check()
        const found = storage.volumes.get(name)
        if (owner === undefined && storage.foreign.has(name)) {
          throw new AgentError('DISK_FILE_FOREIGN', `${name} is not ours`)
        }
        if (found === undefined || (owner !== undefined && found.spec.owner !== owner)) return 'already-deleted'
        storage.volumes.delete(name)
        return 'deleted'
      }),
    diskSource: (name) => attempt(() => (parseVolumeName(name), check(), get(name).source)),
    resize: (name, sizeBytes) =>
      attempt(() => {
        const volume = get(name)
        if (sizeBytes < volume.virtualSizeBytes)
          throw new AgentError('VOLUME_TOO_SMALL', `volume ${name} is not shrunk`)
        const found = storage.volumes.get(name)
        if (found !== undefined) found.sizeBytes = sizeBytes
        return get(name)
      }),
  }
}

// A throw in a method that does not wait is a rejection, like everywhere else.
async function attempt<T>(work: () => T): Promise<T> {
  return Promise.resolve().then(work)
}
