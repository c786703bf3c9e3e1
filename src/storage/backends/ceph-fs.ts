import { z } from 'zod'
import { AgentError } from '../../core/errors.ts'
import { parseId } from '../../core/ids.ts'
import type { PoolConfig } from '../../core/model.ts'
import type { MountEntry } from '../../platform/mounts.ts'
import type { PoolBackend, PoolBackendFactory, PoolTraits } from '../backend.ts'
import { askCluster, cephClientFields, clusterName, monitorText, parseCephClient, readCephKey } from '../ceph-client.ts'
import { discoverMounted } from '../discover-mounted.ts'
import type { StorageEnvironment } from '../environment.ts'
import { fileBackend } from '../file-backend.ts'
import {
  cephFsMismatch,
  cephFsMountFailure,
  cephFsOptions,
  cephFsSource,
  isUnclearFailure,
  judgeFsMap,
  optionsOfCephFs,
  parseFileSystem,
  splitCephFsSource,
  type CephFsMount,
} from '../mount-cephfs.ts'
import { MOUNTED_ISOLATION, MountedPool, type MountSecret } from '../mounted-pool.ts'
import { absolutePathOption, parsePoolOptions, poolDirectory } from '../pool-options.ts'
import { SecretFile } from '../secret-file.ts'

const KIND = 'CEPH_FS'
const TRAITS: PoolTraits = { shared: true, access: 'file', formats: ['qcow2', 'raw'], isolation: MOUNTED_ISOLATION }

const optionsSchema = z.strictObject({
  ...cephClientFields,
  poolName: z.string().default(''),
  namespace: z.literal('', 'a file system has none; give a directory in ceph.path').default(''),
  path: z.string().default('/'),
  mountPoint: z.string().default(''),
})

/**
 * Pools in a Ceph file system (CEPH_FS), mounted by the kernel. Options: those of `ceph-client.ts`, `poolName` (the file system, default that of the cluster),
 * `path` (default `/`), `mountPoint` (default `<mounts>/cephfs-<poolId>`).
 */
export function cephFsPools(environment: StorageEnvironment): PoolBackendFactory {
  return {
    kind: KIND,
    traits: TRAITS,
    create: (config) => createCephFsPool(config, environment),
    discover: (facts, poolId) =>
      discoverMounted(
        { kind: KIND, fsTypes: ['ceph'], prefix: defaultMountPoint('', environment), optionsOf: optionsOfMount },
        facts,
        poolId,
      ),
  }
}

function createCephFsPool(config: PoolConfig, environment: StorageEnvironment): PoolBackend {
  const poolId = parseId(config.poolId, 'pool_id')
  const given = parsePoolOptions('ceph', optionsSchema, config.options)
  const client = parseCephClient(given)
  const mount = {
    client,
    fileSystem: parseFileSystem(given.poolName),
    path: absolutePathOption('ceph.path', given.path),
  }
  const mountPoint = poolDirectory(
    'ceph.mount_point',
    given.mountPoint === '' ? defaultMountPoint(poolId, environment) : given.mountPoint,
    environment.paths.reserved,
  )
  const pool = new MountedPool({
    environment,
    poolId,
    kind: KIND,
    plan: {
      source: cephFsSource(mount),
      target: mountPoint,
      fsType: 'ceph',
      options: cephFsOptions(mount),
      secret: keyFile(mount, new SecretFile(environment.paths, `cephfs-${poolId}.key`)),
      package: 'ceph-common',
      server: clusterName(client),
      mismatch: (entry) => cephFsMismatch(entry, mount),
      explain: (words, signal) => explain(words, mount, signal),
    },
  })
  const options = {
    ...{ clusterId: given.clusterId, poolName: mount.fileSystem, monitors: client.monitors.map(monitorText) },
    ...{ user: client.user, keyringPath: client.keyringPath, namespace: '', secretUuid: given.secretUuid },
    ...{ path: mount.path, mountPoint },
  }
  return fileBackend(
    { kind: KIND, traits: TRAITS, config: { poolId, kind: KIND, options }, mountPath: mountPoint },
    pool,
  )
}

// mount.ceph reads the bare key from a file: an option with the key itself would be seen in the list of processes.
function keyFile({ client }: CephFsMount, file: SecretFile): MountSecret {
  return {
    option: `secretfile=${file.path}`,
    write: async ({ signal }) => file.write(`${await readCephKey(client, signal)}\n`),
    remove: () => file.remove(),
  }
}

async function explain(words: string, mount: CephFsMount, signal: AbortSignal): Promise<AgentError | undefined> {
  if (!isUnclearFailure(words)) return cephFsMountFailure(words, mount)
  try {
    return judgeFsMap(await askCluster(mount.client, ['fs', 'dump', '--format', 'json'], signal), words, mount)
  } catch (error) {
    if (error instanceof AgentError) return error
    throw error
  }
}

function defaultMountPoint(poolId: string, { paths }: StorageEnvironment): string {
  return `${paths.mounts}/cephfs-${poolId}`
}

function optionsOfMount(entry: MountEntry): PoolConfig['options'] | undefined {
  const place = splitCephFsSource(entry.source)
  if (place === undefined) return undefined
  const { user, fileSystem } = optionsOfCephFs(entry)
  return { monitors: place.monitors.map(monitorText), user, poolName: fileSystem, path: place.path }
}
