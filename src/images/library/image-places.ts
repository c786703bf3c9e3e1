import type { PoolManager } from '../../storage/pool-manager.ts'
import type { StorageIo } from '../../storage/storage-io.ts'
import type { WorkerProcess } from '../../platform/workers.ts'
import type { Logger } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import type { PoolKind } from '../../core/model.ts'
import { aliasPath } from '../../storage/pool-alias.ts'
import type { ImageVolumes } from '../image-volume.ts'
import type { ImagePlace } from './image-library.ts'
import type { ScanAnswer, ScanParams } from './scan-images.ts'
import { scanVolumes } from './scan-volumes.ts'

export interface ImagePlacesOptions {
  readonly pools: Pick<PoolManager, 'list' | 'require'>
  readonly io: StorageIo
  readonly volumes: Pick<ImageVolumes, 'of'>
  /** Directory of the paths that stand for pools without files (pool-alias.ts). */
  readonly aliases: string
  /** Directories of images that belong to no pool. */
  readonly directories: readonly string[]
  /** Serves the storage methods for these; without precious work, since a directory may hang. */
  readonly worker: WorkerProcess
  readonly log: Logger
}

/** Levels below the root: `cloud-images/x.qcow2`, `iso/linux/x.iso`. */
const POOL_DEPTH = 2
const DIRECTORY_DEPTH = 2
const TIMEOUT_MS = 30_000

/** Pool types whose content other hosts see too. */
const SHARED: readonly PoolKind[] = ['NFS', 'CEPH_FS', 'CEPH_RBD', 'ISCSI']

/** Every pool of now and every directory of images. */
export function imagePlaces(options: ImagePlacesOptions): ImagePlace[] {
  const { pools, directories } = options
  const roots = new Set<string>()
  const inPools = pools.list().map(({ config: { poolId, kind }, mountPath }): ImagePlace => {
    const place = { name: poolId, poolId, shared: SHARED.includes(kind) }
    if (mountPath === '') {
      const root = aliasPath(options.aliases, poolId, '')
      const scan = (signal: AbortSignal) => scanVolumes(poolId, pools, options.volumes, { signal, log: options.log })
      return { ...place, root, scan }
    }
    roots.add(mountPath)
    return { ...place, root: mountPath, scan: (signal) => scanPool(poolId, signal, options) }
  })
  const plain = [...new Set(directories)]
    // What is a pool is looked at as one.
    .filter((root) => !roots.has(root))
    .map((root): ImagePlace => {
      return { name: root, poolId: '', root, shared: false, scan: (signal) => scanDirectory(root, signal, options) }
    })
  return [...inPools, ...plain]
}

async function scanPool(
  poolId: string,
  signal: AbortSignal,
  { pools, io, log }: ImagePlacesOptions,
): Promise<ScanAnswer> {
  const { guard, backend } = await pools.require(poolId, { signal, log })
  if (guard === undefined) throw new AgentError('FILE_NOT_DIRECTORY', `pool ${poolId} has volumes, not files`)
  const target = { poolId, isolation: backend.traits.isolation }
  return io.call(target, 'scanImages', { guard, root: guard.root, depth: POOL_DEPTH }, { signal })
}

async function scanDirectory(root: string, signal: AbortSignal, { worker }: ImagePlacesOptions): Promise<ScanAnswer> {
  const params: ScanParams = { root, depth: DIRECTORY_DEPTH }
  return worker.call('scanImages', params, { signal, timeoutMs: TIMEOUT_MS })
}
