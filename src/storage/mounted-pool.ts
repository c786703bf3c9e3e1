import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError, toAgentError } from '../core/errors.ts'
import type { PoolKind } from '../core/model.ts'
import { Reverter } from '../core/reverter.ts'
import type { MountEntry } from '../platform/mounts.ts'
import type { Activation, ActivationRequest, PoolTraits, ProbeResult } from './backend.ts'
import type { StorageEnvironment } from './environment.ts'
import { FilePool } from './file-pool.ts'
import type { FileVolumes } from './file-volumes.ts'
import { MountPoint } from './mount-point.ts'
import { unreachable } from './probe-result.ts'
import type { PoolTarget } from './storage-io.ts'

/** What is mounted for a pool, and how its type speaks about it. */
export interface MountPlan {
  readonly source: string
  readonly target: string
  readonly fsType: string
  readonly options: readonly string[]
  /** Debian package of the mount helper. */
  readonly package: string
  /** The server for people, such as `NFS server 10.0.0.5`; its mounts are made one after the other. */
  readonly server: string
  /** Why a mount at the target is not the one of this plan, as a full sentence; undefined when it is. */
  mismatch(entry: MountEntry): string | undefined
  /** What a failed mount(8) means, from its words, or by asking the server where they do not tell; undefined when it is not known. */
  explain(words: string, signal: AbortSignal): AgentError | undefined | Promise<AgentError | undefined>
  readonly secret?: MountSecret
}

/** A secret that mount(8) reads from a file, which is there while it runs and no longer. */
export interface MountSecret {
  /** The option that names the file. */
  readonly option: string
  write(ctx: OpContext): Promise<void>
  /** Success when it is gone, also what a killed agent left. */
  remove(): Promise<void>
}

export interface MountedPoolOptions {
  readonly environment: StorageEnvironment
  readonly poolId: string
  readonly kind: PoolKind
  readonly plan: MountPlan
}

/** Mounting may take long (NFSv4 leases, Ceph maps); a probe may not. */
const MOUNT_TIMEOUT_MS = 30_000
/** A server that gave up the first mount is asked with less patience in the background, so that the pool's state stays recent. */
const REMOUNT_TIMEOUT_MS = 15_000
const CLEANUP_TIMEOUT_MS = 30_000
/** Mounts of ours stacked on one place, by whatever accident, are all removed. */
const MAX_STACKED = 8

/** Mounts of file systems that can hang get helpers of their own. */
export const MOUNTED_ISOLATION: PoolTraits['isolation'] = 'own'

/**
 * A file pool on a mounted network file system. Adds to FilePool: mount and unmount, the identity of the mount, and words for a server that does not answer. A
 * backend adds the plan. It does not retire: other hosts may use the pool, and without its marker they would lose it.
 */
export class MountedPool {
  readonly #options: MountedPoolOptions
  readonly #target: PoolTarget
  readonly #pool: FilePool
  readonly #mountPoint: MountPoint
  #silent = false

  constructor(options: MountedPoolOptions) {
    const { environment, poolId, kind, plan } = options
    this.#options = options
    this.#target = { poolId, isolation: MOUNTED_ISOLATION }
    this.#pool = new FilePool({ environment, poolId, kind, root: plan.target, isolation: MOUNTED_ISOLATION })
    this.#mountPoint = new MountPoint(environment, this.#target, plan.target)
  }

  get volumes(): FileVolumes {
    return this.#pool.volumes
  }

  /** Mounts what is not mounted, then takes the pool. What a failed activation mounted or made is undone. */
  async activate(request: ActivationRequest, ctx: OpContext): Promise<Activation> {
    const { environment, plan } = this.#options
    const reverter = new Reverter(ctx.log)
    try {
      const present = await this.#mounted()
      await plan.secret?.remove()
      // A dead server is told by a cheap question, not by the long deadline of a claim.
      if (present !== undefined) await environment.io.call(this.#target, 'markerIn', { root: plan.target }, ctx)
      const entry = present ?? (await this.#mount(request, ctx, reverter))
      const activation = await this.#pool.claim(request, ctx, entry.mountId)
      this.#silent = false
      return activation
    } catch (error) {
      await reverter.revert()
      throw this.#explained(error)
    }
  }

  /** Unmounts; by force when the server is dead. Whoever calls knows that nothing uses the pool. POOL_IN_USE when the kernel knows better. */
  async deactivate(ctx: OpContext): Promise<'deactivated' | 'already-inactive'> {
    const { environment, plan } = this.#options
    const before = await environment.mounter.entryAt(plan.target)
    // Ends the helper, whose open handles would keep the mount busy; probes have nothing to look at from here on.
    const closed = await this.#pool.close()
    const ours = before !== undefined && plan.mismatch(before) === undefined
    if (ours) await this.#unmountAll(ctx.signal)
    if (ours || before === undefined) await this.#removeMountPoint(ctx.signal)
    return ours ? 'deactivated' : closed
  }

  async probe(ctx: OpContext): Promise<ProbeResult> {
    try {
      if ((await this.#mounted()) === undefined) throw this.#notMounted()
    } catch (error) {
      return unreachable(error, 0)
    }
    const probe = await this.#pool.probe(ctx)
    this.#silent = SILENCE.includes(probe.reason)
    return this.#silent ? { ...probe, ...this.#silence() } : probe
  }

  /** The mount of this pool, or undefined when nothing is mounted; MOUNT_FOREIGN when something else is. */
  async #mounted(): Promise<MountEntry | undefined> {
    const { environment, plan } = this.#options
    const entry = await environment.mounter.entryAt(plan.target)
    const why = entry === undefined ? undefined : plan.mismatch(entry)
    if (why !== undefined) throw new AgentError('MOUNT_FOREIGN', why)
    return entry
  }

  async #mount(request: ActivationRequest, ctx: OpContext, reverter: Reverter): Promise<MountEntry> {
    const { environment, plan } = this.#options
    const timeoutMs = request.mode === 'initialise' ? MOUNT_TIMEOUT_MS : REMOUNT_TIMEOUT_MS
    reverter.add('unmount, and remove the mount point', () => this.#undoMount())
    await environment.mounter.queue.run(plan.server, ctx.signal, async () => {
      await this.#mountPoint.prepare(request, ctx)
      const { secret } = plan
      const options = [...plan.options, ...(secret === undefined ? [] : [secret.option])]
      try {
        await secret?.write(ctx)
        await environment.mounter.mount({ ...plan, options, timeoutMs }, ctx.signal)
      } catch (error) {
        throw await this.#mountError(error, ctx.signal)
      } finally {
        await secret?.remove()
      }
    })
    const entry = await this.#mounted()
    if (entry === undefined) throw this.#notMounted()
    const { source, superOptions: options } = entry
    ctx.log.info({ pool: this.#target.poolId, source, path: plan.target, options }, 'mounted')
    return entry
  }

  // The mount may have completed while it was being stopped. Independent of the caller, who is gone or has given up.
  async #undoMount(): Promise<void> {
    const signal = AbortSignal.timeout(CLEANUP_TIMEOUT_MS)
    await this.#pool.close()
    await this.#unmountAll(signal)
    await this.#removeMountPoint(signal)
  }

  async #removeMountPoint(signal: AbortSignal): Promise<void> {
    await this.#mountPoint.remove(signal)
    await this.#options.environment.io.forget(this.#target)
  }

  async #unmountAll(signal: AbortSignal): Promise<void> {
    const { mounter } = this.#options.environment
    for (let stacked = 0; stacked < MAX_STACKED; stacked++) {
      const entry = await mounter.entryAt(this.#options.plan.target)
      if (entry === undefined || this.#options.plan.mismatch(entry) !== undefined) return
      await this.#unmount(entry, signal)
    }
  }

  async #unmount(entry: MountEntry, signal: AbortSignal): Promise<void> {
    const { mounter } = this.#options.environment
    // Force fails the requests of every mount that shares the connection, those of running guests among them.
    const sharing = (await mounter.list()).filter(({ device, mountId }) => {
      return device === entry.device && mountId !== entry.mountId
    })
    if ((!this.#silent || sharing.length > 0) && (await this.#unmountOnce(entry, false, signal))) return
    if (sharing.length > 0) {
      const places = sharing.map(({ mountPoint }) => mountPoint).join(', ')
      throw new AgentError(
        'SERVER_NOT_ANSWERING',
        `${this.#options.plan.server} does not answer, and ${entry.mountPoint} cannot be unmounted by force because ${places} share its connection`,
      )
    }
    if (await this.#unmountOnce(entry, true, signal)) return
    throw new AgentError('SERVER_NOT_ANSWERING', `${entry.mountPoint} cannot be unmounted, not even by force`)
  }

  /** False when the deadline passed and the mount is still there; a busy mount is an error. */
  async #unmountOnce(entry: MountEntry, force: boolean, signal: AbortSignal): Promise<boolean> {
    const { mounter } = this.#options.environment
    try {
      await mounter.unmount(entry.mountPoint, force, signal)
      return true
    } catch (error) {
      if (!isAgentError(error, 'DEADLINE_EXCEEDED') || signal.aborted) throw error
      // The kernel first takes the mount away and then says goodbye to the server, for whose answer it waits.
      return (await mounter.list()).every(({ mountId }) => mountId !== entry.mountId)
    }
  }

  async #mountError(error: unknown, signal: AbortSignal): Promise<unknown> {
    const { plan } = this.#options
    if (isAgentError(error, 'DEADLINE_EXCEEDED')) {
      return new AgentError('SERVER_NOT_ANSWERING', `${plan.server} does not answer: ${error.message}`, {
        cause: error,
      })
    }
    if (!isAgentError(error, 'COMMAND_FAILED')) return error
    if (NO_KERNEL_CLIENT.test(error.message)) {
      const message = `${plan.source}: the kernel of this host has no client for ${plan.fsType} file systems; load its module (modprobe ${plan.fsType}) or use a kernel that has it`
      return new AgentError('MOUNT_FAILED', message, { cause: error })
    }
    const known = await plan.explain(error.message, signal)
    if (known !== undefined) return new AgentError(known.reason, known.message, { cause: error })
    return new AgentError('MOUNT_FAILED', `${plan.source} could not be mounted at ${plan.target}: ${error.message}`, {
      cause: error,
    })
  }

  #explained(error: unknown): unknown {
    if (!SILENCE.includes(toAgentError(error).reason)) return error
    this.#silent = true
    const { reason, message } = this.#silence()
    // What mount(8) said is worth more than the general sentence.
    if (isAgentError(error, reason) && errorText(error).startsWith(this.#options.plan.server)) return error
    return new AgentError(reason, message, { cause: error })
  }

  #silence() {
    return {
      reason: 'SERVER_NOT_ANSWERING',
      message: `${this.#options.plan.server} does not answer`,
    } as const
  }

  #notMounted(): AgentError {
    const { source, target } = this.#options.plan
    return new AgentError('POOL_NOT_MOUNTED', `${source} is not mounted at ${target}`)
  }
}

/** What mount(8) and its helpers say of ENODEV. */
const NO_KERNEL_CLIENT = /\bNo such device\b|unknown filesystem type/

/** How a dead server shows in calls to the helper. */
const SILENCE: readonly string[] = ['DEADLINE_EXCEEDED', 'WORKER_STUCK', 'WORKER_DIED', 'SERVER_NOT_ANSWERING']
