import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { Reverter } from '../core/reverter.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { Activation, ActivationRequest, ProbeResult } from './backend.ts'
import { listMaps, presentDevices, removeMaps, strayMaps, type DeviceMap } from './device-maps.ts'
import type { StorageEnvironment } from './environment.ts'
import { Lvm } from './lvm.ts'
import { LvmGroup, type LvmGroupOptions } from './lvm-group.ts'
import { isMapOf, mapName } from './lvm-names.ts'
import type { LogicalVolume, VolumeGroup } from './lvm-report.ts'
import { MADE_TAG } from './lvm-tags.ts'
import { isFinished, LvmVolumes } from './lvm-volumes.ts'
import { judgeSpace } from './pool-space.ts'
import { unreachable } from './probe-result.ts'

export interface LvmPoolOptions extends Omit<LvmGroupOptions, 'nodeId'> {
  readonly environment: StorageEnvironment
}

/** From here on the metadata of a thin pool is worth a warning: a thin pool without room for it becomes read-only and needs repair. */
const METADATA_LOW = 0.8
const UNDO_TIMEOUT_MS = 60_000

/**
 * A thin pool in a volume group that is a storage pool: identity, activation, probe and volumes. A backend adds how the block devices get there (they are there, or a
 * session to a server brings them), and calls `deactivate` before they are taken away.
 */
export class LvmPool {
  readonly volumes: LvmVolumes
  readonly #options: LvmPoolOptions
  readonly #lvm: Lvm
  readonly #group: LvmGroup
  #generation: string | undefined

  constructor(options: LvmPoolOptions) {
    const { environment, poolId, volumeGroup, thinPool } = options
    const { nodeId } = environment
    this.#options = options
    this.#lvm = new Lvm(options)
    this.#group = new LvmGroup(this.#lvm, { ...options, nodeId })
    const group = (ctx: OpContext) => this.#active(ctx)
    this.volumes = new LvmVolumes({ lvm: this.#lvm, poolId, nodeId, volumeGroup, thinPool, group })
  }

  /** Path under which the logical volumes appear, for people. */
  get devicePath(): string {
    return `/dev/${this.#options.volumeGroup}`
  }

  /**
   * Takes the volume group as this pool, removes what was left unfinished, and activates its volumes. With 'initialise', volume group and thin pool are made where there
   * are none. Errors: DEVICE_MISSING, POOL_DATA_FOREIGN, POOL_IDENTITY_MISMATCH, POOL_IN_USE (another host has it), POOL_CONFIG_INVALID, that of `silent`.
   */
  async activate(request: ActivationRequest, ctx: OpContext): Promise<Activation> {
    const reverter = new Reverter(ctx.log)
    if (request.mode === 'initialise' && this.#generation === undefined) {
      reverter.add('remove what was made of the volume group', () => this.#undo(ctx))
    }
    try {
      const taken = await this.#group.take(request, ctx)
      const group = (await this.volumes.repair(taken, ctx)) ? await this.#group.require(ctx) : taken
      const changed = await this.#activateVolumes(group, ctx)
      const { generation } = group.tags
      const same = !changed && generation !== undefined && this.#generation === generation
      this.#generation = generation ?? ''
      return { outcome: same ? 'already-active' : 'activated', ...(generation === undefined ? {} : { generation }) }
    } catch (error) {
      if (this.#isCertain(error)) this.#generation = undefined
      await reverter.revert()
      throw error
    }
  }

  /** Deactivates the volumes, leaves no device-mapper entry of theirs, and lets other hosts have the pool. POOL_IN_USE while one is open. Works when the devices are gone. */
  async deactivate(ctx: OpContext): Promise<'deactivated' | 'already-inactive'> {
    const before = this.#generation === undefined ? 'already-inactive' : 'deactivated'
    try {
      const group = await this.#reachable(ctx)
      const maps = await this.#maps(group)
      if (group !== undefined) {
        const active = this.#own(group).filter((lv) => lv.active)
        await this.#deactivateVolumes(active, ctx)
      }
      // What LVM no longer knows of: of disks that are gone, or of a command that was killed.
      await removeMaps(await this.#maps(group))
      await this.#release(ctx)
      this.#generation = undefined
      return maps.length > 0 ? 'deactivated' : before
    } catch (error) {
      if (!isAgentError(error, 'VOLUME_IN_USE')) throw error
      throw new AgentError('POOL_IN_USE', `pool ${this.#options.poolId} is still in use: ${error.message}`, {
        cause: error,
      })
    }
  }

  /** Before the last deactivation: removes what the agent made when no volume is left in it, so that the disks are blank again. */
  async retire(ctx: OpContext): Promise<void> {
    await this.#group.remove(ctx)
  }

  /** Looks at the pool now. Never throws: what is wrong is in the answer. */
  async probe(ctx: OpContext): Promise<ProbeResult> {
    const startedAt = monotonicMs()
    try {
      const group = await this.#active(ctx)
      const inactive = this.#wanted(group).find(({ active, suspended }) => !active || suspended)
      if (inactive !== undefined) {
        throw new AgentError('POOL_NOT_ACTIVE', `${group.name}/${inactive.name} is not active; the agent activates it`)
      }
      return this.#judge(group, monotonicMs() - startedAt)
    } catch (error) {
      return unreachable(error, monotonicMs() - startedAt)
    }
  }

  /** The volume group as it is now, if it is still the one that was activated. */
  async #active(ctx: OpContext): Promise<VolumeGroup> {
    if (this.#generation === undefined) {
      throw new AgentError('POOL_UNAVAILABLE', `pool ${this.#options.poolId} is not active`)
    }
    return this.#group.require(ctx, this.#generation)
  }

  /** True when anything had to be done. */
  async #activateVolumes(group: VolumeGroup, ctx: OpContext): Promise<boolean> {
    const { name } = group
    // Entries of a disk that was there before: LVM would take them for active volumes.
    const stray = strayMaps(await this.#maps(group), await this.#lvm.devices(ctx))
    await removeMaps(stray)
    const wanted = this.#wanted(group)
    const suspended = wanted.filter((lv) => lv.suspended)
    if (suspended.length > 0) await this.#lvm.change(['lvchange', '--refresh', ...pathsOf(name, suspended)], ctx)
    const inactive = stray.length > 0 ? wanted : wanted.filter((lv) => !lv.active)
    if (inactive.length > 0) {
      await this.#lvm.change(['lvchange', '--activate', 'y', ...pathsOf(name, inactive)], ctx)
    }
    return suspended.length + inactive.length > 0
  }

  async #deactivateVolumes(lvs: readonly LogicalVolume[], ctx: OpContext): Promise<void> {
    const { volumeGroup } = this.#options
    const thin = lvs.filter(({ isThinPool }) => !isThinPool)
    // A thin pool can only go after its volumes.
    for (const part of [thin, lvs.filter(({ isThinPool }) => isThinPool)]) {
      if (part.length > 0) await this.#lvm.change(['lvchange', '--activate', 'n', ...pathsOf(volumeGroup, part)], ctx)
    }
  }

  /** Logical volumes that are active while the pool is. */
  #wanted(group: VolumeGroup): LogicalVolume[] {
    return [this.#group.thinPool(group), ...group.volumes.filter(isFinished)]
  }

  /** Logical volumes that the agent may deactivate: its own, and the thin pool if the agent made it. */
  #own({ volumes }: VolumeGroup): LogicalVolume[] {
    const { thinPool } = this.#options
    return volumes.filter(({ name, rawTags, tags, isThinPool }) => {
      if (isThinPool) return name === thinPool && rawTags.includes(MADE_TAG)
      return tags.volume !== undefined || tags.snapshot !== undefined
    })
  }

  /** Entries of device-mapper that are this pool's; all of the volume group when it is the agent's, and those on disks that are gone when nobody can tell any more. */
  async #maps(group: VolumeGroup | undefined): Promise<DeviceMap[]> {
    const { volumeGroup, named } = this.#options
    if (group === undefined || group.rawTags.includes(MADE_TAG)) {
      const all = await listMaps((name) => isMapOf(volumeGroup, name))
      // Under a name that an admin gave there can be somebody else's volume group by now, on disks that are there.
      return group === undefined && named ? strayMaps(all, await presentDevices()) : all
    }
    const own = this.#own(group).map((lv) => ({ name: mapName(volumeGroup, lv.name), isThinPool: lv.isThinPool }))
    return listMaps((name) =>
      own.some(
        (lv) => name === lv.name || (lv.isThinPool && (name.startsWith(`${lv.name}_t`) || name === `${lv.name}-tpool`)),
      ),
    )
  }

  /** The volume group if it can be looked at and is this pool's, whichever host has it; undefined when it is gone. */
  async #reachable(ctx: OpContext): Promise<VolumeGroup | undefined> {
    try {
      return await this.#group.find(ctx)
    } catch (error) {
      if (isAgentError(error, 'DEVICE_MISSING', 'POOL_IDENTITY_MISMATCH')) return undefined
      throw error
    }
  }

  // Also when the pool is another host's: a mark of this one would keep others from it. Nothing can be written to disks that are gone.
  async #release(ctx: OpContext): Promise<void> {
    try {
      await this.#group.release(ctx)
    } catch (error) {
      if (!isAgentError(error, 'DEVICE_MISSING')) throw error
    }
  }

  // Of an initialisation that failed; independent of the caller, who may be gone.
  async #undo({ log }: OpContext): Promise<void> {
    const ctx: OpContext = { log, signal: AbortSignal.timeout(UNDO_TIMEOUT_MS) }
    const group = await this.#reachable(ctx)
    if (group === undefined) return this.#release(ctx)
    try {
      await this.#group.remove(ctx)
    } catch (error) {
      if (isAgentError(error, 'POOL_IN_USE')) {
        if (!this.#isConcerned(group)) return this.#release(ctx)
      } else {
        const { poolId } = this.#options
        log.error({ pool: poolId, err: errorText(error) }, 'what was made of the volume group could not be removed')
      }
    }
    await this.deactivate(ctx)
  }

  /** Whether what is active here of a volume group that another host has can be of the taking that was refused; else it is older, and guests may use it. */
  #isConcerned({ tags, volumes }: VolumeGroup): boolean {
    const { environment, thinPool } = this.#options
    return tags.nodes.includes(environment.nodeId) || volumes.every(({ pool }) => pool !== thinPool)
  }

  #isCertain(error: unknown): boolean {
    return isAgentError(error, 'DEVICE_MISSING', 'POOL_IDENTITY_MISMATCH', 'POOL_IN_USE')
  }

  #judge(group: VolumeGroup, latencyMs: number): ProbeResult {
    const { sizeBytes, dataUsed, metadataUsed, trouble, name } = this.#group.thinPool(group)
    const usedBytes = Math.ceil(sizeBytes * dataUsed)
    const space = { totalBytes: sizeBytes, usedBytes, availableBytes: sizeBytes - usedBytes }
    const volumeCount = group.volumes.filter(isFinished).length
    const base = { ...space, volumeCount, observedAt: Date.now(), probeLatencyMs: Math.round(latencyMs) }
    const pool = `thin pool ${group.name}/${name}`
    if (trouble === 'failed') {
      return {
        ...base,
        health: 'ERROR',
        reason: 'POOL_IO_ERROR',
        message: `${pool} has failed; see the kernel log and lvconvert --repair`,
      }
    }
    if (trouble === 'metadata_read_only') {
      const message = `${pool} is read-only: its metadata is full or damaged; extend it (lvextend --poolmetadatasize), then lvconvert --repair`
      return { ...base, health: 'DEGRADED', reason: 'POOL_NOT_WRITABLE', message }
    }
    if (metadataUsed >= METADATA_LOW) {
      const message = `warning: the metadata of ${pool} is ${Math.round(metadataUsed * 100)} % full; extend it: lvextend --poolmetadatasize`
      return { ...base, health: 'HEALTHY', reason: 'POOL_METADATA_LOW', message }
    }
    return { ...base, ...judgeSpace(space) }
  }
}

function pathsOf(volumeGroup: string, lvs: readonly LogicalVolume[]): string[] {
  return lvs.map(({ name }) => `${volumeGroup}/${name}`)
}
