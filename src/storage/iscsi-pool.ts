import { setTimeout as pause } from 'node:timers/promises'
import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { monotonicMs } from '../platform/clock.ts'
import { run } from '../platform/exec.ts'
import type { Activation, ActivationRequest, ProbeResult } from './backend.ts'
import { listMaps } from './device-maps.ts'
import type { IscsiLun, IscsiSessions } from './iscsi-sessions.ts'
import type { LvmStore } from './lvm-backend.ts'
import { isMapOf } from './lvm-names.ts'
import { notAnswering } from './iscsiadm.ts'
import type { LvmPool } from './lvm-pool.ts'
import { unreachable } from './probe-result.ts'

export interface IscsiPoolOptions {
  readonly sessions: IscsiSessions
  readonly lun: IscsiLun
  readonly volumeGroup: string
  /** The thin pool on the LUN. */
  readonly pool: LvmPool
}

const UNDO_TIMEOUT_MS = 60_000
const INFO_TIMEOUT_MS = 5_000
const WATCH_MS = 1_000

/** A thin pool on the LUN of an iSCSI target: the session first, then the volume group, and back in the other order. */
export class IscsiPool implements LvmStore {
  readonly #options: IscsiPoolOptions

  constructor(options: IscsiPoolOptions) {
    this.#options = options
  }

  get volumes(): LvmPool['volumes'] {
    return this.#options.pool.volumes
  }

  get devicePath(): string {
    return this.#options.pool.devicePath
  }

  /** Errors: those of IscsiSessions.attach and LvmPool.activate. */
  async activate(request: ActivationRequest, ctx: OpContext): Promise<Activation> {
    const { sessions, lun, pool } = this.#options
    const { outcome } = await sessions.attach(lun, ctx)
    try {
      const activation = await pool.activate(request, ctx)
      return outcome === 'attached' ? { ...activation, outcome: 'activated' } : activation
    } catch (error) {
      if (outcome === 'attached') await this.#undo(ctx)
      throw error
    }
  }

  /** Also when the target is dead: its session then ends first, because nothing that waits for it could be removed before. POOL_IN_USE. */
  async deactivate(ctx: OpContext): Promise<'deactivated' | 'already-inactive'> {
    const { sessions, lun, pool, volumeGroup } = this.#options
    try {
      const volumes = await pool.deactivate(ctx)
      const session = await sessions.detach(lun, ctx)
      return session === 'detached' ? 'deactivated' : volumes
    } catch (error) {
      if (!isAgentError(error, 'SERVER_NOT_ANSWERING') || !(await sessions.isDead(lun.target))) throw error
      await this.#refuseOpen(ctx)
      await sessions.abandon(lun, volumeGroup, ctx)
      await pool.deactivate(ctx)
      return 'deactivated'
    }
  }

  retire(ctx: OpContext): Promise<void> {
    return this.#options.pool.retire(ctx)
  }

  /** Ends when the kernel takes the target for dead, also while a command on the disk hangs: that one is given up and ends by itself. */
  async probe(ctx: OpContext): Promise<ProbeResult> {
    const { sessions, lun, pool } = this.#options
    const startedAt = monotonicMs()
    const over = new AbortController()
    const signal = AbortSignal.any([ctx.signal, over.signal])
    try {
      const probing = pool.probe({ ...ctx, signal })
      return (await Promise.race([probing, this.#death(sessions, lun, startedAt, signal)])) ?? (await probing)
    } finally {
      over.abort()
    }
  }

  async #death(
    sessions: IscsiSessions,
    lun: IscsiLun,
    startedAt: number,
    signal: AbortSignal,
  ): Promise<ProbeResult | undefined> {
    while (!(await sessions.isDead(lun.target))) {
      if (!(await pause(WATCH_MS, true, { signal }).catch(() => false))) return undefined
    }
    return unreachable(notAnswering(lun.target), monotonicMs() - startedAt)
  }

  // Independent of the caller, who may be gone. The error that led here is the one to be told.
  async #undo({ log }: OpContext): Promise<void> {
    const ctx: OpContext = { log, signal: AbortSignal.timeout(UNDO_TIMEOUT_MS) }
    try {
      await this.deactivate(ctx)
    } catch (error) {
      log.error({ pool: this.#options.lun.poolId, err: errorText(error) }, 'a failed activation could not be undone')
    }
  }

  // Device-mapper answers from memory.
  async #refuseOpen(ctx: OpContext): Promise<void> {
    const { volumeGroup, lun } = this.#options
    const maps = await listMaps((name) => isMapOf(volumeGroup, name))
    if (maps.length === 0) return
    const fields = ['info', '--columns', '--noheadings', '--separator', ' ', '-o', 'name,open']
    const command = { file: 'dmsetup', package: 'dmsetup', args: fields, timeoutMs: INFO_TIMEOUT_MS }
    const { stdout } = await run(command, ctx.signal)
    const open = new Set(stdout.split('\n').flatMap((line) => /^(\S+) [1-9]\d*$/.exec(line.trim())?.[1] ?? []))
    // What stands on a map has it open.
    const top = maps.filter(({ kernel }) => !maps.some(({ below }) => below.includes(kernel)))
    const used = top.map(({ name }) => name).filter((name) => open.has(name))
    if (used.length === 0) return
    throw new AgentError(
      'POOL_IN_USE',
      `pool ${lun.poolId} is still in use: ${used.join(', ')} in /dev/mapper is open; stop what uses it`,
    )
  }
}
