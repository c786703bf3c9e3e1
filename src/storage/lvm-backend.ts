import type { PoolBackend } from './backend.ts'
import type { LvmPool } from './lvm-pool.ts'

/** What uses a thin pool as a pool: LvmPool itself, or what brings its devices first. */
export interface LvmStore extends Pick<PoolBackend, 'activate' | 'deactivate' | 'probe' | 'retire'> {
  readonly volumes: LvmPool['volumes']
  readonly devicePath: string
}

/** The backend of a pool whose volumes are thin logical volumes: what it is, and the store that does the work. */
export function lvmBackend(identity: Pick<PoolBackend, 'kind' | 'traits' | 'config'>, store: LvmStore): PoolBackend {
  const { volumes, devicePath } = store
  return {
    ...identity,
    mountPath: '',
    devicePath,
    activate: (request, ctx) => store.activate(request, ctx),
    deactivate: (ctx) => store.deactivate(ctx),
    probe: (ctx) => store.probe(ctx),
    retire: async (ctx) => store.retire?.(ctx),
    listVolumes: (ctx) => volumes.list(ctx),
    getVolume: (name, ctx) => volumes.get(name, ctx),
    createVolume: (spec, ctx, options) => volumes.create(spec, ctx, options),
    deleteVolume: (name, ctx, owner) => volumes.delete(name, ctx, owner),
    diskSource: (name, ctx) => volumes.source(name, ctx),
    holds: (place) => volumes.holds(place),
    resize: (name, sizeBytes, ctx) => volumes.resize(name, sizeBytes, ctx),
    snapshots: volumes.snapshots,
  }
}
