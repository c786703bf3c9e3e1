import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import type { PoolConfig } from '../../core/model.ts'
import type { DiscoveredPool, DiscoveryFacts, PoolBackend, PoolBackendFactory, PoolTraits } from '../backend.ts'
import type { StorageEnvironment } from '../environment.ts'
import { MOUNTED_ISOLATION, MountedPool } from '../mounted-pool.ts'
import { parsePoolOptions, poolDirectory } from '../pool-options.ts'
import {
  nfsMismatch,
  nfsMountFailure,
  nfsMountOptions,
  NFS_VERSIONS,
  optionsOfMount,
  parseExportPath,
  parseNfsOptions,
  parseNfsServer,
  splitNfsSource,
} from '../mount-nfs.ts'

const KIND = 'NFS'
const TRAITS: PoolTraits = { shared: true, access: 'file', formats: ['qcow2', 'raw'], isolation: MOUNTED_ISOLATION }
const DEFAULT_VERSION = '4.1'

const optionsSchema = z.strictObject({
  server: z.string().min(1, 'is missing'),
  exportPath: z.string().min(1, 'is missing'),
  version: z.enum(NFS_VERSIONS).or(z.literal('')).default(''),
  options: z.string().default(''),
  mountPoint: z.string().default(''),
})

/** Pools on an NFS export (NFS). Options: `server`, `exportPath`, `version` (default 4.1), `options`, `mountPoint` (default `<mounts>/nfs-<poolId>`). */
export function nfsPools(environment: StorageEnvironment): PoolBackendFactory {
  return {
    kind: KIND,
    traits: TRAITS,
    create: (config) => createNfsPool(config, environment),
    discover: (facts, poolId) => discoverNfsPools(facts, poolId, environment),
  }
}

function createNfsPool(config: PoolConfig, environment: StorageEnvironment): PoolBackend {
  const poolId = parseId(config.poolId, 'pool_id')
  const given = parsePoolOptions('nfs', optionsSchema, config.options)
  const { server, source } = parseNfsServer(given.server)
  const exportPath = parseExportPath(given.exportPath)
  const version = given.version === '' ? DEFAULT_VERSION : given.version
  const extra = parseNfsOptions(given.options)
  const mountPoint = poolDirectory(
    'nfs.mount_point',
    given.mountPoint === '' ? defaultMountPoint(poolId, environment) : given.mountPoint,
    environment.paths.reserved,
  )
  const wanted = { source: `${source}:${exportPath}`, version, options: nfsMountOptions(version, extra) }
  const pool = new MountedPool({
    environment,
    poolId,
    kind: KIND,
    plan: {
      ...wanted,
      target: mountPoint,
      fsType: 'nfs',
      package: 'nfs-common',
      server: `NFS server ${server}`,
      mismatch: (entry) => nfsMismatch(entry, wanted),
      explain: (words) => nfsMountFailure(words, server, exportPath),
    },
  })
  return {
    kind: KIND,
    traits: TRAITS,
    config: { poolId, kind: KIND, options: { server, exportPath, version, options: extra.join(','), mountPoint } },
    mountPath: mountPoint,
    activate: (request, ctx) => pool.activate(request, ctx),
    deactivate: (ctx) => pool.deactivate(ctx),
    // No `retire`: other hosts may use the pool, and without its marker they would lose it.
    probe: (ctx) => pool.probe(ctx),
    listVolumes: (ctx) => pool.volumes.list(ctx),
    getVolume: (name, ctx) => pool.volumes.get(name, ctx),
    createVolume: (spec, ctx) => pool.volumes.create(spec, ctx),
    deleteVolume: (name, ctx, owner) => pool.volumes.delete(name, ctx, owner),
    diskSource: (name, ctx) => pool.volumes.source(name, ctx),
    resize: (name, sizeBytes, ctx) => pool.volumes.resize(name, sizeBytes, ctx),
  }
}

function defaultMountPoint(poolId: string, { paths }: StorageEnvironment): string {
  return `${paths.mounts}/nfs-${poolId}`
}

// The path of a default mount point names its pool, so such a mount needs no marker yet (an earlier agent wrote none); any other one is known by its marker alone.
async function discoverNfsPools(
  facts: DiscoveryFacts,
  wanted: string | undefined,
  environment: StorageEnvironment,
): Promise<DiscoveredPool[]> {
  const prefix = defaultMountPoint('', environment)
  const found = facts.mounts
    .filter(({ fsType }) => fsType === 'nfs' || fsType === 'nfs4')
    .map(async (entry): Promise<DiscoveredPool[]> => {
      const place = splitNfsSource(entry.source)
      if (place === undefined) return []
      const byPath = entry.mountPoint.startsWith(prefix) ? entry.mountPoint.slice(prefix.length) : undefined
      if (byPath !== undefined && wanted !== undefined && byPath !== wanted) return []
      const marker = await facts.readMarker(entry.mountPoint)
      const poolId = marker?.kind === KIND ? marker.poolId : marker === undefined ? byPath : undefined
      if (poolId === undefined || (wanted !== undefined && poolId !== wanted)) return []
      const options = { ...place, ...optionsOfMount(entry), mountPoint: entry.mountPoint }
      return [{ config: { poolId, kind: KIND, options }, marked: marker !== undefined }]
    })
  return (await Promise.all(found)).flat()
}
