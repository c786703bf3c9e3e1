import type { Logger } from '../core/context.ts'
import { isAgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import { WorkerProcess } from '../platform/workers.ts'
import type { PoolTraits } from './backend.ts'
import type { StorageMethods } from './storage-worker.ts'

/** A method of the storage worker. */
export type StorageMethod = keyof StorageMethods
/** Parameters of a method. */
export type StorageParams<M extends StorageMethod> = Parameters<StorageMethods[M]>[0]
/** Answer of a method. */
export type StorageResult<M extends StorageMethod> = Awaited<ReturnType<StorageMethods[M]>>

/** Which helper does the work of a pool. */
export interface PoolTarget {
  readonly poolId: string
  readonly isolation: PoolTraits['isolation']
}

export interface StorageCallOptions {
  readonly signal: AbortSignal
  readonly onEvent?: (event: never) => void
}

/** Deadlines per method, in ms. */
export type MethodTimeouts = Readonly<Partial<Record<StorageMethod, number>>>

/** How long the worker may take before it counts as hung and is killed. Walks over whole trees are longer, probes shorter. */
const TIMEOUT_MS: MethodTimeouts = {
  probePool: 4_000,
  markerIn: 4_000,
  processesUsing: 10_000,
  listDirectory: 60_000,
  allocatedInPool: 60_000,
  publishVolume: 120_000,
}
const DEFAULT_TIMEOUT_MS = 20_000

/** Repeated once when the helper died of another call: these only read. */
const READING: readonly StorageMethod[] = ['probePool', 'markerIn', 'statEntry', 'readVolume', 'readVolumes']

/**
 * Typed calls into the storage helpers: one process shared by pools whose file systems do not hang, one of its own for each other pool. Errors: those of the
 * method, DEADLINE_EXCEEDED (the helper was killed), WORKER_DIED, WORKER_STUCK, CANCELLED.
 */
export class StorageIo {
  readonly #log: Logger
  readonly #workers = new Map<string, WorkerProcess>()
  readonly #probes = new KeyedLock()
  #probing = 0
  readonly #timeoutsMs: MethodTimeouts

  /** `timeoutsMs` replaces single deadlines. */
  constructor(log: Logger, timeoutsMs: MethodTimeouts = {}) {
    this.#log = log
    this.#timeoutsMs = { ...TIMEOUT_MS, ...timeoutsMs }
  }

  /** Calls `method` in the helper of `target`. At most one probe per pool is under way; others wait for their turn. */
  async call<M extends StorageMethod>(
    target: PoolTarget,
    method: M,
    params: StorageParams<M>,
    options: StorageCallOptions,
  ): Promise<StorageResult<M>> {
    const attempt = async (): Promise<StorageResult<M>> => {
      if (method === 'probePool') this.#probing++
      try {
        return await this.#call(target, method, params, options)
      } finally {
        if (method === 'probePool') this.#probing--
      }
    }
    if (method === 'probePool') return this.#probes.run(target.poolId, options.signal, attempt)
    return attempt()
  }

  /** Ends the helper of a pool that is not used any more and waits until it has left with all its open files; a shared one stays. */
  async forget(target: PoolTarget): Promise<void> {
    if (target.isolation === 'common') return
    const key = workerKey(target)
    const worker = this.#workers.get(key)
    await worker?.reset()
    // One that does not leave is remembered, so that there never are two.
    if (worker?.stuck === 0 && worker.pid === undefined && this.#workers.get(key) === worker) this.#workers.delete(key)
  }

  /** Pids of live helpers, how many are stuck in the kernel, and how many probes are under way. */
  state(): { pids: readonly number[]; stuck: number; probing: number } {
    const workers = [...this.#workers.values()]
    return {
      pids: workers.flatMap((worker) => (worker.pid === undefined ? [] : [worker.pid])),
      stuck: workers.reduce((sum, worker) => sum + worker.stuck, 0),
      probing: this.#probing,
    }
  }

  /** Ends all helpers; calls in flight fail with SHUTTING_DOWN. */
  close(): void {
    for (const worker of this.#workers.values()) worker.close()
    this.#workers.clear()
  }

  async #call<M extends StorageMethod>(
    target: PoolTarget,
    method: M,
    params: StorageParams<M>,
    options: StorageCallOptions,
  ): Promise<StorageResult<M>> {
    const callOptions = { ...options, timeoutMs: this.#timeoutsMs[method] ?? DEFAULT_TIMEOUT_MS }
    const worker = this.#workerOf(target)
    try {
      return await worker.call<StorageResult<M>>(method, params, callOptions)
    } catch (error) {
      if (!isAgentError(error, 'WORKER_DIED') || !READING.includes(method)) throw error
      return worker.call<StorageResult<M>>(method, params, callOptions)
    }
  }

  #workerOf(target: PoolTarget): WorkerProcess {
    const key = workerKey(target)
    let worker = this.#workers.get(key)
    if (worker === undefined) {
      worker = new WorkerProcess(
        'storage',
        target.isolation === 'common' ? 'storage' : `storage of pool ${target.poolId}`,
        this.#log,
      )
      this.#workers.set(key, worker)
    }
    return worker
  }
}

function workerKey(target: PoolTarget): string {
  return target.isolation === 'common' ? 'common' : `pool:${target.poolId}`
}
