import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { PoolKind, PoolObservation } from '../core/model.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { Activation, ActivationRequest, PoolTraits, ProbeResult } from './backend.ts'
import type { StorageEnvironment } from './environment.ts'
import { FileVolumes } from './file-volumes.ts'
import type { PoolGuard } from './pool-guard.ts'
import { judgeSpace } from './pool-space.ts'
import { unreachable } from './probe-result.ts'
import type { PoolTarget, StorageResult } from './storage-io.ts'

/** A write probe costs a disk a wake-up and a journal commit; once a minute is enough. */
const WRITE_PROBE_PERIOD_MS = 60_000
/** Share of the time that walks over a pool with a capacity limit may take: small pools are counted at every probe, large ones less often. */
const USAGE_SHARE = 0.02

export interface FilePoolOptions {
  readonly environment: StorageEnvironment
  readonly poolId: string
  readonly kind: PoolKind
  readonly root: string
  readonly isolation: PoolTraits['isolation']
  /** Most the pool may hold; absent = all of its file system. */
  readonly capacityBytes?: number
}

/**
 * A directory that is a pool: marker, identity, probe and volumes. A backend adds how the directory gets there (it is there, or something is mounted on it).
 */
export class FilePool {
  readonly volumes: FileVolumes
  readonly #options: FilePoolOptions
  readonly #target: PoolTarget
  #guard: PoolGuard | undefined
  #writeProbe: { at: number; write: StorageResult<'probePool'>['write']; error: string } | undefined
  #usage: { bytes: number; nextAt: number } | undefined

  constructor(options: FilePoolOptions) {
    const { environment, poolId, isolation, root } = options
    this.#options = options
    this.#target = { poolId, isolation }
    this.volumes = new FileVolumes({
      target: this.#target,
      mountPath: root,
      nodeId: environment.nodeId,
      io: environment.io,
      guard: () => this.guard(),
    })
  }

  /** Identity of the active pool; POOL_UNAVAILABLE before `claim` and after `close`. */
  guard(): PoolGuard {
    if (this.#guard !== undefined) return this.#guard
    throw new AgentError('POOL_UNAVAILABLE', `pool ${this.#options.poolId} is not active`)
  }

  /**
   * Takes the directory as this pool: with 'initialise' it is made and marked when needed, with 'resume' it must carry the marker.
   * With `mountId`, nothing happens unless the directory is on that mount.
   */
  async claim(request: ActivationRequest, ctx: OpContext, mountId?: number): Promise<Activation> {
    const { root, poolId, kind, environment } = this.#options
    const { io, nodeId, paths } = environment
    const base = { root, poolId, kind, node: nodeId, reserved: paths.reserved }
    const params = mountId === undefined ? base : { ...base, mountId }
    const before = this.#guard
    const guard =
      request.mode === 'initialise'
        ? await io.call(this.#target, 'initialisePool', params, { signal: ctx.signal })
        : await io.call(
            this.#target,
            'resumePool',
            { ...params, ...(request.generation === undefined ? {} : { generation: request.generation }) },
            { signal: ctx.signal },
          )
    const same = before?.mountId === guard.mountId && before.generation === guard.generation
    this.#guard = guard
    this.#writeProbe = undefined
    return { outcome: same ? 'already-active' : 'activated', guard }
  }

  /** Forgets the identity: nothing is written any more, and no helper of this pool alone has a file open. */
  async close(): Promise<'deactivated' | 'already-inactive'> {
    const closed = this.#guard === undefined ? 'already-inactive' : 'deactivated'
    this.#guard = undefined
    await this.#options.environment.io.forget(this.#target)
    return closed
  }

  /** Removes marker and empty bookkeeping, and the directory when the agent made it and it is empty. */
  async retire(ctx: OpContext): Promise<void> {
    await this.#options.environment.io.call(this.#target, 'retirePool', { guard: this.guard() }, { signal: ctx.signal })
  }

  /** Looks at the pool now. Never throws: what is wrong is in the answer. */
  async probe(ctx: OpContext): Promise<ProbeResult> {
    const startedAt = monotonicMs()
    try {
      const guard = this.guard()
      const { io } = this.#options.environment
      const write = this.#writeProbe === undefined || startedAt - this.#writeProbe.at >= WRITE_PROBE_PERIOD_MS
      const facts = await io.call(this.#target, 'probePool', { guard, write }, { signal: ctx.signal })
      if (write) this.#writeProbe = { at: startedAt, write: facts.write, error: facts.writeError }
      const latency = monotonicMs() - startedAt
      return this.#judge(await this.#limited(facts, guard, ctx), latency)
    } catch (error) {
      return unreachable(error, monotonicMs() - startedAt)
    }
  }

  async #limited(
    facts: StorageResult<'probePool'>,
    guard: PoolGuard,
    ctx: OpContext,
  ): Promise<StorageResult<'probePool'>> {
    const { capacityBytes, environment } = this.#options
    if (capacityBytes === undefined) return facts
    const startedAt = monotonicMs()
    if (this.#usage === undefined || startedAt >= this.#usage.nextAt) {
      const bytes = await environment.io.call(this.#target, 'allocatedInPool', { guard }, { signal: ctx.signal })
      const tookMs = monotonicMs() - startedAt
      // A walk within a few probes' time is nothing, so that a reservation right after a job sees what the job left.
      this.#usage = { bytes, nextAt: tookMs < 100 ? 0 : startedAt + tookMs / USAGE_SHARE }
    }
    const totalBytes = Math.min(capacityBytes, facts.totalBytes)
    const usedBytes = this.#usage.bytes
    const availableBytes = Math.max(0, Math.min(facts.availableBytes, capacityBytes - usedBytes))
    return { ...facts, totalBytes, usedBytes, availableBytes }
  }

  #judge(facts: StorageResult<'probePool'>, latencyMs: number): PoolObservation {
    const { totalBytes, usedBytes, availableBytes, volumeCount } = facts
    const space = { totalBytes, usedBytes, availableBytes, volumeCount }
    const base = { ...space, observedAt: Date.now(), probeLatencyMs: Math.round(latencyMs) }
    if (this.#writeProbe?.write === 'refused') {
      return { ...base, health: 'DEGRADED', reason: 'POOL_NOT_WRITABLE', message: this.#writeProbe.error }
    }
    return { ...base, ...judgeSpace(space, this.#writeProbe?.write === 'full') }
  }
}
