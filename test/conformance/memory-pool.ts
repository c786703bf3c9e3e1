import { AgentError } from '../../src/core/errors.ts'
import { abortable, KeyedLock } from '../../src/core/keyed-lock.ts'
import { placeOf, type PoolConfig, type Volume, type VolumeSnapshot } from '../../src/core/model.ts'
import type { PoolBackend, PoolBackendFactory, PoolTraits, VolumeSpec } from '../../src/storage/backend.ts'
import { unreachable } from '../../src/storage/probe-result.ts'
import { parseSnapshotName, parseVolumeName } from '../../src/storage/volume-name.ts'
import { checkedSpec, isMadeFor, requireSameSpec } from '../../src/storage/volume-spec.ts'
import { IMAGE_BYTES, type VolumeBytes } from './volume-bytes.ts'

/** Value of each block that is not 0. */
type Blocks = ReadonlyMap<number, number>

interface MemoryVolume {
  readonly spec: VolumeSpec
  sizeBytes: number
  readonly blocks: Map<number, number>
  readonly snapshots: Map<string, VolumeSnapshot & { readonly blocks: Blocks }>
}

/** The "disk" of an in-memory pool: outlives backends, as real storage outlives the agent. */
export interface MemoryStorage {
  online: boolean
  poolId: string | undefined
  readonly volumes: Map<string, MemoryVolume>
  /** Images to copy from, by path. */
  readonly images: Map<string, Map<number, number>>
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
    images: new Map(),
    unfinished: new Set(),
    foreign: new Set(),
    onCreate: () => Promise.resolve(),
  }
}

/** The bytes of the volumes of a storage. */
export function memoryBytes(storage: MemoryStorage): VolumeBytes {
  const blocksAt = (place: string): Map<number, number> => {
    const found = storage.images.get(place) ?? storage.volumes.get(place.split('/').slice(4).join('/'))?.blocks
    if (found === undefined) throw new Error(`nothing is at ${place}`)
    return found
  }
  return {
    write: (source, block, value) => attempt(() => void blocksAt(placeOf(source)).set(block, value)),
    read: (source, count) =>
      attempt(() => Array.from({ length: count }, (_, block) => blocksAt(placeOf(source)).get(block) ?? 0)),
    image(format, value) {
      const path = `/memory/image-${value}.${format}`
      storage.images.set(path, new Map([[0, value]]))
      return Promise.resolve({ type: 'file', path, format })
    },
    close: () => Promise.resolve(),
  }
}

const TRAITS: PoolTraits = { shared: false, access: 'block', formats: ['raw'], isolation: 'common' }

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
  const find = (name: string): MemoryVolume => {
    const found = storage.volumes.get(name)
    if (found === undefined) throw new AgentError('VOLUME_NOT_FOUND', `volume ${name} is missing in pool ${poolId}`)
    return found
  }
  const get = (name: string): Volume => (find(name), view(name)!)
  const origin = ({ content }: VolumeSpec): { blocks: Blocks; sizeBytes: number } => {
    switch (content.type) {
      case 'clone': {
        const volume = find(content.volume)
        const { sizeBytes } = volume
        if (content.snapshot === undefined) return { blocks: volume.blocks, sizeBytes }
        const snapshot = volume.snapshots.get(content.snapshot)
        if (snapshot !== undefined) return { blocks: snapshot.blocks, sizeBytes }
        throw new AgentError('SNAPSHOT_NOT_FOUND', `volume ${content.volume} has no snapshot ${content.snapshot}`)
      }
      case 'copy': {
        const place = placeOf(content.source)
        const blocks = storage.images.get(place)
        if (blocks === undefined) throw new AgentError('BACKING_FILE_MISSING', `${place} is missing`)
        return { blocks, sizeBytes: IMAGE_BYTES }
      }
      case 'empty':
      case 'overlay':
        return { blocks: new Map(), sizeBytes: 0 }
    }
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
    async createVolume(asked, ctx) {
      const spec = checkedSpec(asked, TRAITS)
      return locks.run(spec.name, ctx.signal, async () => {
        check()
        const present = storage.volumes.get(spec.name)
        if (present !== undefined) {
          requireSameSpec(present.spec, spec)
          return get(spec.name)
        }
        if (storage.foreign.has(spec.name)) throw new AgentError('DISK_FILE_FOREIGN', `${spec.name} is not ours`)
        const { blocks, sizeBytes } = origin(spec)
        if (sizeBytes > spec.sizeBytes) throw new AgentError('VOLUME_TOO_SMALL', `${spec.name} is too small`)
        storage.unfinished.add(spec.name)
        try {
          await abortable(storage.onCreate(), ctx.signal)
          const made = { spec, sizeBytes: spec.sizeBytes, blocks: new Map(blocks), snapshots: new Map() }
          storage.volumes.set(spec.name, made)
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
        if (found === undefined || (owner !== undefined && !isMadeFor(found.spec.owner, owner)))
          return 'already-deleted'
        storage.volumes.delete(name)
        return 'deleted'
      }),
    holds: (place) => place.startsWith(device('')),
    diskSource: (name) => attempt(() => (parseVolumeName(name), check(), get(name).source)),
    resize: (name, sizeBytes) =>
      attempt(() => {
        const volume = find(name)
        if (sizeBytes < volume.sizeBytes) throw new AgentError('VOLUME_TOO_SMALL', `volume ${name} is not shrunk`)
        volume.sizeBytes = sizeBytes
        return get(name)
      }),
    snapshots: {
      create: (volume, snapshot) =>
        attempt(() => {
          const { blocks, snapshots } = find(volume)
          const name = parseSnapshotName(snapshot)
          const made = snapshots.get(name) ?? { name, createdAt: Date.now(), blocks: new Map(blocks) }
          snapshots.set(name, made)
          return { name, createdAt: made.createdAt }
        }),
      list: (volume) =>
        attempt(() => [...find(volume).snapshots.values()].map(({ name, createdAt }) => ({ name, createdAt }))),
      delete: (volume, snapshot) =>
        attempt(() => {
          const gone = storage.volumes.get(volume)?.snapshots.delete(parseSnapshotName(snapshot)) === true
          return gone ? 'deleted' : 'already-deleted'
        }),
    },
  }
}

// A throw in a method that does not wait is a rejection, like everywhere else.
async function attempt<T>(work: () => T): Promise<T> {
  return Promise.resolve().then(work)
}
