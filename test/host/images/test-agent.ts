import path from 'node:path'
import { silentLogger, type Logger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { KeyedLock } from '../../../src/core/keyed-lock.ts'
import { Bandwidth } from '../../../src/images/bandwidth.ts'
import { CredentialBook } from '../../../src/images/credentials.ts'
import { ImageDownloads } from '../../../src/images/download.ts'
import type { DownloadSettings } from '../../../src/images/download-plan.ts'
import { ImageCatalog } from '../../../src/images/library/image-catalog.ts'
import { ImageVolumes } from '../../../src/images/image-volume.ts'
import { TransferClient } from '../../../src/images/transfer-client.ts'
import { OperationManager } from '../../../src/operations/manager.ts'
import type { OperationRecord } from '../../../src/operations/operation.ts'
import { isInside } from '../../../src/platform/files.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import { Uploads } from '../../../src/images/upload/uploads.ts'
import type { ImageService, IntakeService } from '../../../src/services/contracts.ts'
import { createIntakeService } from '../../../src/services/intake-service.ts'
import { createImageService } from '../../../src/services/image-service.ts'
import type { PoolBackend } from '../../../src/storage/backend.ts'
import type { ActivePool, PoolAccess } from '../../../src/storage/pool-access.ts'
import type { PoolManager } from '../../../src/storage/pool-manager.ts'
import { Reservations } from '../../../src/storage/reservations.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { initialisePool } from '../../../src/storage/worker/setup.ts'

/** The image half of an agent: real operations, real state, real worker processes. */
export interface TestAgent {
  readonly images: ImageService
  readonly operations: OperationManager
  readonly bandwidth: Bandwidth
  readonly intake: IntakeService
  readonly volumes: ImageVolumes
  /** Pids of the transfer workers that live now. */
  workers(): number[]
}

export interface TestAgentOptions {
  readonly settings?: Partial<DownloadSettings>
  /** What the pool still promises; default no limit. */
  readonly poolFreeBytes?: number
  /** Other pools than `pool-1`, with the volumes in them. */
  readonly pools?: PoolManager
  /** Of the jobs. */
  readonly log?: Logger
  /** How long the answer to a request waits for the job to be at its end or moving bytes. */
  readonly settleMs?: number
}

/** An agent whose state is in `<dir>/state`, with the pool `pool-1` in `<dir>/pool` and `<dir>/base` as allowed directory. */
export async function startTestAgent(dir: string, options: TestAgentOptions = {}): Promise<TestAgent> {
  const pools = options.pools ?? (await directoryPool(path.join(dir, 'pool'), options.poolFreeBytes ?? Infinity))
  const none = () => Promise.reject(new Error('the pool has files'))
  const noVolumes = { create: none, delete: none }
  const workers = new Set<WorkerProcess>()
  const settings: DownloadSettings = {
    allowedDirs: [path.join(dir, 'base')],
    allowPrivateAddresses: true,
    stagingDir: path.join(dir, 'staging'),
    stallTimeoutMs: 30_000,
    patienceMs: 1_000,
    maxConcurrent: 4,
    proof: { require: 'none', requireByPool: {} },
    keyringsDir: path.join(dir, 'keyrings'),
    ...options.settings,
  }
  const store = openStateStore(path.join(dir, 'state'), silentLogger)
  const operations = new OperationManager(
    store.collection<OperationRecord>('operations'),
    new KeyedLock(),
    options.log ?? silentLogger,
  )
  const bandwidth = new Bandwidth(store.collection('image-rates'), { hostBytesPerSecond: 0, pools: {} })
  const localSpace = new Reservations()
  const volumes = new ImageVolumes({
    pools,
    volumes: options.pools === undefined ? noVolumes : createVolumeManager(options.pools),
    manifests: store.collection('image-volumes'),
  })
  const openClient = (jobId: string) => {
    const worker = new WorkerProcess('transfer', `download ${jobId}`, silentLogger)
    workers.add(worker)
    return new TransferClient(worker)
  }
  const downloads = new ImageDownloads({
    pools,
    volumes,
    settings,
    localSpace,
    bandwidth,
    credentials: new CredentialBook(store.collection('image-credentials')),
    agentVersion: '0.0.0-test',
    openClient,
  })
  operations.register(downloads)
  await operations.load()
  await downloads.sweepCredentials(operations.list())
  await operations.recover()
  const common = {
    operations,
    pools,
    settings,
    catalog: new ImageCatalog(path.join(dir, 'catalog.d')),
    homes: { cloudImages: path.join(dir, 'base'), aliases: path.join(dir, 'aliases') },
    log: silentLogger,
  }
  const uploads = new Uploads({ pools, store: store.collection('uploads'), localSpace, openClient, log: silentLogger })
  return {
    images: createImageService({
      ...common,
      downloads,
      ...(options.settleMs === undefined ? {} : { settleMs: options.settleMs }),
    }),
    intake: createIntakeService({ ...common, uploads, requireFile: () => Promise.resolve() }),
    volumes,
    operations,
    bandwidth,
    workers: () => [...workers].flatMap(({ pid }) => pid ?? []),
  }
}

// One real pool directory, with marker and guard, behind the interface of the pool manager.
async function directoryPool(root: string, freeBytes: number): Promise<PoolAccess> {
  const poolId = 'pool-1'
  const guard = await initialisePool({ root, poolId, kind: 'LOCAL_DIR', node: 'test', reserved: [] })
  const pool: ActivePool = {
    config: { poolId, kind: 'LOCAL_DIR', options: { path: root } },
    backend: {} as PoolBackend,
    guard,
  }
  return {
    async require(id) {
      if (id !== poolId) throw new AgentError('POOL_NOT_FOUND', `pool ${id} not found`)
      return pool
    },
    active: () => [pool],
    findByPath: (file) => (isInside(root, file) ? pool : undefined),
    findByPlace: (place) => (isInside(root, place) ? pool : undefined),
    holderOf: (place) => (isInside(root, place) ? pool.backend : undefined),
    locate: (file) => Promise.resolve(isInside(root, file) ? { pool, relative: path.relative(root, file) } : undefined),
    async reserve(_id, bytes) {
      if (bytes > freeBytes)
        throw new AgentError('POOL_FULL', `pool ${poolId}: ${bytes} bytes needed, ${freeBytes} free`)
      return { release() {} }
    },
    users: () => Promise.resolve([]),
    addUserSource() {},
  }
}
