import type { PoolBackend } from './backend.ts'
import type { FileVolumes } from './file-volumes.ts'

/** A directory that is used as a pool, however it gets there (FilePool, MountedPool). */
export interface PoolDirectory extends Pick<PoolBackend, 'activate' | 'deactivate' | 'probe' | 'retire'> {
  readonly volumes: FileVolumes
}

/** The backend of a pool whose volumes are files: what it is, and the directory that does the work. */
export function fileBackend(
  identity: Pick<PoolBackend, 'kind' | 'traits' | 'config' | 'mountPath'>,
  directory: PoolDirectory,
): PoolBackend {
  const { volumes } = directory
  return {
    ...identity,
    activate: (request, ctx) => directory.activate(request, ctx),
    deactivate: (ctx) => directory.deactivate(ctx),
    probe: (ctx) => directory.probe(ctx),
    ...(directory.retire === undefined ? {} : { retire: directory.retire }),
    listVolumes: (ctx) => volumes.list(ctx),
    getVolume: (name, ctx) => volumes.get(name, ctx),
    createVolume: (spec, ctx, options) => volumes.create(spec, ctx, options),
    deleteVolume: (name, ctx, owner) => volumes.delete(name, ctx, owner),
    diskSource: (name, ctx) => volumes.source(name, ctx),
    holds: (place) => volumes.holds(place),
    resize: (name, sizeBytes, ctx) => volumes.resize(name, sizeBytes, ctx),
    snapshots: volumes.snapshots,
    layers: volumes.layers,
  }
}
