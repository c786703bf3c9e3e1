import { isDeepStrictEqual } from 'node:util'
import type { Logger } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { abortable, KeyedLock } from '../core/keyed-lock.ts'
import { WorkerProcess, type CallOptions } from '../platform/workers.ts'
import type { PoolTraits } from './backend.ts'
import type { PoolGuard } from './pool-guard.ts'
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
  scanImages: 30_000,
}
const DEFAULT_TIMEOUT_MS = 20_000

/**
 * How long a helper may hang in a probe before it is killed, in ms. A probe that is late fails, but its call goes on: the next look asks after it instead of starting
 * another process, and on a server that comes back it is the first to be answered. A helper that pools share has work of others to lose when it is only slow.
 */
const HUNG_PROBE_MS = { own: 60_000, common: 15_000 } as const

/** The call of a late probe belongs to no caller. */
const UNINTERRUPTED = new AbortController().signal

interface LateProbe {
  readonly guard: PoolGuard
  readonly answer: Promise<StorageResult<'probePool'>>
}

/** Repeated once when the helper died of another call: these only read. */
const READING: readonly StorageMethod[] = [
  'probePool',
  'markerIn',
  'statEntry',
  'statContent',
  'readContent',
  'overlaysOn',
  'readVolume',
  'readVolumes',
  'readBackupManifests',
  'listBackupNames',
  'scanImages',
]

/**
 * Typed calls into the storage helpers: one process shared by pools whose file systems do not hang, one of its own for each other pool. Errors: those of the
 * method, DEADLINE_EXCEEDED (the helper was killed), WORKER_DIED, WORKER_STUCK, CANCELLED.
 */
export class StorageIo {
  readonly #log: Logger
  readonly #workers = new Map<string, WorkerProcess>()
  readonly #probes = new KeyedLock()
  readonly #late = new Map<string, LateProbe>()
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
    if (method !== 'probePool') return this.#call(target, method, params, options)
    const answer = await this.#probes.run(target.poolId, options.signal, async () => {
      this.#probing++
      try {
        const probe = params as StorageParams<'probePool'>
        return await this.#patientProbe(target, probe, options.signal)
      } finally {
        this.#probing--
      }
    })
    return answer as StorageResult<M>
  }

  async #patientProbe(
    target: PoolTarget,
    params: StorageParams<'probePool'>,
    signal: AbortSignal,
  ): Promise<StorageResult<'probePool'>> {
    const key = target.poolId
    const timeoutMs = this.#timeoutsMs.probePool ?? DEFAULT_TIMEOUT_MS
    const { promise: expired, reject } = Promise.withResolvers<never>()
    let timer: NodeJS.Timeout | undefined
    const begin = () => {
      timer ??= setTimeout(() => {
        reject(new AgentError('DEADLINE_EXCEEDED', `pool ${target.poolId} did not answer within ${timeoutMs / 1000} s`))
      }, timeoutMs)
    }
    let probe = this.#late.get(key)
    if (probe !== undefined && isDeepStrictEqual(probe.guard, params.guard)) begin()
    else {
      const hung = Math.max(HUNG_PROBE_MS[target.isolation], timeoutMs)
      probe = {
        guard: params.guard,
        answer: this.#call(target, 'probePool', params, { signal: UNINTERRUPTED, onBegin: begin }, hung),
      }
      this.#late.set(key, probe)
      const asked = probe
      const forget = () => {
        if (this.#late.get(key) === asked) this.#late.delete(key)
      }
      probe.answer.then(forget, forget)
    }
    try {
      return await abortable(Promise.race([probe.answer, expired]), signal)
    } finally {
      clearTimeout(timer)
    }
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
    options: StorageCallOptions & Pick<CallOptions, 'onBegin'>,
    timeoutMs = this.#timeoutsMs[method] ?? DEFAULT_TIMEOUT_MS,
  ): Promise<StorageResult<M>> {
    const callOptions = { ...options, timeoutMs }
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
