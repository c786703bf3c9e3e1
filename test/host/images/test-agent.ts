import path from 'node:path'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { KeyedLock } from '../../../src/core/keyed-lock.ts'
import { ImageDownloads } from '../../../src/images/download.ts'
import type { DownloadSettings } from '../../../src/images/download-plan.ts'
import { TransferClient } from '../../../src/images/transfer-client.ts'
import { OperationManager } from '../../../src/operations/manager.ts'
import type { OperationRecord } from '../../../src/operations/operation.ts'
import { isInside } from '../../../src/platform/files.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import type { ImageService } from '../../../src/services/contracts.ts'
import { createImageService } from '../../../src/services/image-service.ts'
import type { PoolBackend } from '../../../src/storage/backend.ts'
import type { ActivePool, PoolAccess } from '../../../src/storage/pool-access.ts'
import { initialisePool } from '../../../src/storage/worker/setup.ts'

/** The image half of an agent: real operations, real state, real worker processes. */
export interface TestAgent {
  readonly images: ImageService
  readonly operations: OperationManager
  /** Pids of the transfer workers that live now. */
  workers(): number[]
}

export interface TestAgentOptions {
  readonly settings?: Partial<DownloadSettings>
  /** What the pool still promises; default no limit. */
  readonly poolFreeBytes?: number
}

/** An agent whose state is in `<dir>/state`, with the pool `pool-1` in `<dir>/pool` and `<dir>/base` as allowed directory. */
export async function startTestAgent(dir: string, options: TestAgentOptions = {}): Promise<TestAgent> {
  const pools = await directoryPool(path.join(dir, 'pool'), options.poolFreeBytes ?? Infinity)
  const workers = new Set<WorkerProcess>()
  const settings: DownloadSettings = {
    allowedDirs: [path.join(dir, 'base')],
    allowPrivateAddresses: true,
    stallTimeoutMs: 30_000,
    maxConcurrent: 4,
    ...options.settings,
  }
  const store = openStateStore(path.join(dir, 'state'), silentLogger)
  const operations = new OperationManager(
    store.collection<OperationRecord>('operations'),
    new KeyedLock(),
    silentLogger,
  )
  const downloads = new ImageDownloads({
    pools,
    settings,
    agentVersion: '0.0.0-test',
    openClient: (jobId) => {
      const worker = new WorkerProcess('transfer', `download ${jobId}`, silentLogger)
      workers.add(worker)
      return new TransferClient(worker)
    },
  })
  operations.register(downloads)
  await operations.load()
  await operations.recover()
  return {
    images: createImageService({ operations, pools, downloads, settings, log: silentLogger }),
    operations,
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
    findByPath: (file) => (isInside(root, file) ? pool : undefined),
    async reserve(_id, bytes) {
      if (bytes > freeBytes)
        throw new AgentError('POOL_FULL', `pool ${poolId}: ${bytes} bytes needed, ${freeBytes} free`)
      return { release() {} }
    },
    users: () => Promise.resolve([]),
    addUserSource() {},
  }
}
