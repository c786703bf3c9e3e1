import { z } from 'zod'
import { parseId } from '../../core/ids.ts'
import type { PoolConfig } from '../../core/model.ts'
import type { MountEntry } from '../../platform/mounts.ts'
import type { PoolBackend, PoolBackendFactory, PoolTraits } from '../backend.ts'
import { discoverMounted } from '../discover-mounted.ts'
import type { StorageEnvironment } from '../environment.ts'
import { fileBackend } from '../file-backend.ts'
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
    discover: (facts, poolId) =>
      discoverMounted(
        { kind: KIND, fsTypes: ['nfs', 'nfs4'], prefix: defaultMountPoint('', environment), optionsOf: optionsOfEntry },
        facts,
        poolId,
      ),
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
  const options = { server, exportPath, version, options: extra.join(','), mountPoint }
  return fileBackend(
    { kind: KIND, traits: TRAITS, config: { poolId, kind: KIND, options }, mountPath: mountPoint },
    pool,
  )
}

function defaultMountPoint(poolId: string, { paths }: StorageEnvironment): string {
  return `${paths.mounts}/nfs-${poolId}`
}

// What the kernel shows of a mount.
function optionsOfEntry(entry: MountEntry): PoolConfig['options'] | undefined {
  const place = splitNfsSource(entry.source)
  return place === undefined ? undefined : { ...place, ...optionsOfMount(entry) }
}
