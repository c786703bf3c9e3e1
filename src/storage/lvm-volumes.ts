import { lstat } from 'node:fs/promises'
import { formatBytes } from '../core/bytes.ts'
import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import type { DiskSource, Volume } from '../core/model.ts'
import { run } from '../platform/exec.ts'
import type { CreateOptions, VolumeSpec } from './backend.ts'
import { copyImage, type CopyFacts } from './copy-image.ts'
import { failedCreation } from './first-bytes.ts'
import { poolFull } from './full-pool.ts'
import { volumeLv } from './lvm-names.ts'
import type { LogicalVolume, VolumeGroup } from './lvm-report.ts'
import type { LvmScope } from './lvm-scope.ts'
import { LvmSnapshots, snapshotsOf } from './lvm-snapshots.ts'
import { claimTag, volumeTags } from './lvm-tags.ts'
import { imagePlace } from './qemu-img.ts'
import { parseVolumeName } from './volume-name.ts'
import { checkOrigin } from './volume-origin.ts'
import { checkedSpec, checkVolumeSize, isMadeFor, requireSameSpec } from './volume-spec.ts'

interface Copy {
  readonly type: 'copy'
  readonly source: DiskSource
  readonly facts: CopyFacts
}

/** Where the bytes of a new volume come from. */
type Origin = { readonly type: 'none' } | Copy | { readonly type: 'clone'; readonly of: LogicalVolume }

const BLOCK_TRAITS = { access: 'block', formats: ['raw'] } as const
const NODE_TIMEOUT_MS = 20_000
const CLEANUP_TIMEOUT_MS = 120_000
/** Nothing of the copy is in a cache of the host. */
const SYNC_TIMEOUT_MS = 10 * 60_000
/** A thin pool that is as full as this refused the write that just failed. */
const FULL = 0.9999

/**
 * Volumes as thin logical volumes `/dev/<volume group>/<name>`. The request each was made by is in its tags, so that it outlives this host's state; one that is not
 * finished also carries the claim of its agent. Logical volumes without such tags are foreign. Semantics: PoolBackend.
 */
export class LvmVolumes {
  readonly snapshots: LvmSnapshots
  readonly #options: LvmScope
  readonly #locks = new KeyedLock()

  constructor(options: LvmScope) {
    this.#options = options
    this.snapshots = new LvmSnapshots(options, this.#locks)
  }

  /** True for every path directly below `/dev/<volume group>`. */
  holds(place: string): boolean {
    const prefix = `/dev/${this.#options.volumeGroup}/`
    return place.startsWith(prefix) && !place.includes('/', prefix.length)
  }

  async list(ctx: OpContext): Promise<Volume[]> {
    const group = await this.#options.group(ctx)
    return group.volumes.flatMap((lv) => (isFinished(lv) ? [this.#volume(lv)] : []))
  }

  async get(name: string, ctx: OpContext): Promise<Volume | undefined> {
    parseVolumeName(name)
    const lv = this.#find(await this.#options.group(ctx), name)
    return lv !== undefined && isFinished(lv) ? this.#volume(lv) : undefined
  }

  async create(spec: VolumeSpec, ctx: OpContext, options: CreateOptions = {}): Promise<Volume> {
    return this.#locks.run(spec.name, ctx.signal, async () => {
      const wanted = checkedSpec(spec, BLOCK_TRAITS)
      const group = await this.#options.group(ctx)
      const present = await this.#present(wanted, group, ctx)
      if (present !== undefined) return present
      const origin = await this.#origin(wanted, group, ctx)
      try {
        await this.#make(wanted, origin, options, ctx)
        ctx.signal.throwIfAborted()
        return this.#volume(await this.#require(wanted.name, ctx))
      } catch (error) {
        throw await this.#abandoned(wanted, error, ctx)
      }
    })
  }

  async delete(name: string, ctx: OpContext, owner?: string): Promise<'deleted' | 'already-deleted'> {
    parseVolumeName(name)
    return this.#locks.run(name, ctx.signal, async () => {
      const group = await this.#options.group(ctx)
      const lv = this.#find(group, name)
      if (lv === undefined) return 'already-deleted'
      const { volume, claim } = lv.tags
      if (volume === undefined) {
        if (owner !== undefined) return 'already-deleted'
        throw foreign(this.#path(lv.name))
      }
      if (owner !== undefined && !isMadeFor(volume.owner, owner)) return 'already-deleted'
      // The volume first: if it is in use, nothing happens. What is left of its snapshots after a crash goes with the next activation.
      const names = [lv, ...snapshotsOf(group, name)].map((each) => each.name)
      await this.#remove(names, ctx)
      return claim === undefined ? 'deleted' : 'already-deleted'
    })
  }

  async source(name: string, ctx: OpContext): Promise<DiskSource> {
    const lv = await this.#require(name, ctx)
    // Somebody may have deactivated it by hand.
    if (!lv.active) await this.#options.lvm.change(['lvchange', '--activate', 'y', this.#lv(lv.name)], ctx)
    return this.#volume(lv).source
  }

  async resize(name: string, sizeBytes: number, ctx: OpContext): Promise<Volume> {
    parseVolumeName(name)
    return this.#locks.run(name, ctx.signal, async () => {
      const lv = await this.#require(name, ctx)
      checkVolumeSize(sizeBytes)
      const { extentBytes } = await this.#options.group(ctx)
      // LVM rounds up to extents, so that the same request again finds more than it asked for.
      if (Math.ceil(sizeBytes / extentBytes) * extentBytes === lv.sizeBytes) return this.#volume(lv)
      if (sizeBytes < lv.sizeBytes) {
        throw new AgentError(
          'VOLUME_TOO_SMALL',
          `volume ${name} has ${formatBytes(lv.sizeBytes)} and is not shrunk to ${formatBytes(sizeBytes)}`,
        )
      }
      await this.#grow(lv.name, sizeBytes, ctx)
      return this.#volume(await this.#require(name, ctx))
    })
  }

  /** Removes what this agent left unfinished, and snapshots whose volume is gone. Only while nobody creates anything: at activation. */
  async repair(group: VolumeGroup, ctx: OpContext): Promise<boolean> {
    const { nodeId } = this.#options
    const finished = new Set(group.volumes.flatMap(({ tags }) => (tags.volume === undefined ? [] : [tags.volume.name])))
    const left = group.volumes.filter(({ tags }) => {
      const { claim, snapshot } = tags
      return claim === nodeId || (snapshot !== undefined && !finished.has(snapshot.volume))
    })
    if (left.length === 0) return false
    const names = left.map(({ name }) => name)
    ctx.log.warn({ pool: this.#options.poolId, volumes: names }, 'removing what was left unfinished')
    await this.#remove(names, ctx)
    return true
  }

  async #present(wanted: VolumeSpec, group: VolumeGroup, ctx: OpContext): Promise<Volume | undefined> {
    const lv = this.#find(group, wanted.name)
    if (lv === undefined) return undefined
    const { volume, claim } = lv.tags
    if (volume === undefined) throw foreign(this.#path(lv.name))
    if (claim === undefined) {
      requireSameSpec(volume, wanted)
      return this.#volume(lv)
    }
    if (claim !== this.#options.nodeId) {
      throw new AgentError('VOLUME_CONFLICT', `volume ${wanted.name} is being made by agent ${claim}`)
    }
    // Nobody else makes it, so this is what could not be removed when it failed.
    await this.#remove([lv.name], ctx)
    return undefined
  }

  async #origin(spec: VolumeSpec, group: VolumeGroup, ctx: OpContext): Promise<Origin> {
    const { content, name, sizeBytes } = spec
    switch (content.type) {
      case 'copy': {
        const { source } = content
        const facts = await checkOrigin(spec, { place: imagePlace(source), format: source.format }, ctx)
        return { type: 'copy', source, facts }
      }
      case 'clone': {
        const volume = this.#found(group, content.volume)
        const of =
          content.snapshot === undefined ? volume : this.snapshots.require(group, content.volume, content.snapshot)
        if (of.sizeBytes > Math.ceil(sizeBytes / group.extentBytes) * group.extentBytes) {
          throw new AgentError(
            'VOLUME_TOO_SMALL',
            `volume ${name}: ${formatBytes(sizeBytes)} is less than the ${formatBytes(of.sizeBytes)} of ${content.volume}`,
            { details: { neededBytes: String(of.sizeBytes) } },
          )
        }
        return { type: 'clone', of }
      }
      case 'empty':
      case 'overlay':
        return { type: 'none' }
    }
  }

  async #make(spec: VolumeSpec, origin: Origin, options: CreateOptions, ctx: OpContext): Promise<void> {
    const { lvm, volumeGroup, thinPool, nodeId } = this.#options
    const name = this.#lvName(spec.name)
    const claim = claimTag(nodeId)
    const grows = origin.type === 'clone' && origin.of.sizeBytes < spec.sizeBytes
    const oneStep = origin.type === 'none' || (origin.type === 'clone' && !grows)
    const tags = [...volumeTags(spec), ...(oneStep ? [] : [claim])].flatMap((tag) => ['--addtag', tag])
    const what =
      origin.type === 'clone'
        ? ['--snapshot', '--permission', 'rw', `${volumeGroup}/${origin.of.name}`]
        : ['--virtualsize', `${spec.sizeBytes}b`, '--thinpool', thinPool, volumeGroup]
    await lvm.change(['lvcreate', '--yes', '--setactivationskip', 'n', ...tags, '--name', name, ...what], ctx)
    await this.#awaitNode(name, ctx)
    if (oneStep) return
    if (grows) await this.#grow(name, spec.sizeBytes, ctx)
    if (origin.type === 'copy') await this.#copy(origin, spec.name, options, ctx)
    await lvm.change(['lvchange', '--deltag', claim, this.#lv(name)], ctx)
  }

  async #copy({ source, facts }: Copy, volume: string, options: CreateOptions, ctx: OpContext): Promise<void> {
    const from = { place: imagePlace(source), format: source.format }
    const name = `volume ${volume} of pool ${this.#options.poolId}`
    const place = this.#path(this.#lvName(volume))
    await copyImage(from, { name, place, format: 'raw', zeroed: true, direct: true }, facts, ctx, options)
    await run({ file: 'sync', args: [place], package: 'coreutils', timeoutMs: SYNC_TIMEOUT_MS }, ctx.signal)
  }

  async #grow(lv: string, sizeBytes: number, ctx: OpContext): Promise<void> {
    await this.#options.lvm.change(['lvextend', '--size', `${sizeBytes}b`, this.#lv(lv)], ctx)
  }

  // LVM waits for udev; where udev is slow the node is waited for once more.
  async #awaitNode(lv: string, ctx: OpContext): Promise<void> {
    const path = this.#path(lv)
    if (await isThere(path)) return
    const timeout = `--timeout=${NODE_TIMEOUT_MS / 1000}`
    const args = ['settle', timeout, `--exit-if-exists=${path}`]
    await run({ file: 'udevadm', args, package: 'udev', timeoutMs: NODE_TIMEOUT_MS + 5_000, okCodes: [1] }, ctx.signal)
    if (await isThere(path)) return
    throw new AgentError('DEVICE_MISSING', `${path} did not appear within ${NODE_TIMEOUT_MS / 1000} s; look at udev`)
  }

  // What cannot be removed now is removed by the next activation, from its claim, or before the next volume of the name.
  async #abandoned(spec: VolumeSpec, error: unknown, ctx: OpContext): Promise<unknown> {
    const { name } = spec
    const undo: OpContext = { log: ctx.log, signal: AbortSignal.timeout(CLEANUP_TIMEOUT_MS) }
    try {
      const group = await this.#options.group(undo)
      const lv = this.#find(group, name)
      if (lv?.tags.volume !== undefined) await this.#remove([lv.name], undo)
      return await this.#explained(error, spec, group, undo)
    } catch (failure) {
      ctx.log.error({ volume: name, err: errorText(failure) }, 'an unfinished volume could not be removed')
      return error
    }
  }

  // A full thin pool shows as ENOSPC or EIO, depending on who wrote.
  async #explained(error: unknown, spec: VolumeSpec, group: VolumeGroup, ctx: OpContext): Promise<unknown> {
    if (!isAgentError(error, 'COMMAND_FAILED', 'POOL_FULL')) return error
    const pool = group.volumes.find((lv) => lv.isThinPool && lv.name === this.#options.thinPool)
    if (pool === undefined || pool.dataUsed < FULL) return error
    const usedBytes = Math.round(pool.sizeBytes * pool.dataUsed)
    const space = { usedBytes, availableBytes: pool.sizeBytes - usedBytes, totalBytes: pool.sizeBytes }
    const place = { name: `thin pool ${group.name}/${pool.name}`, ...space, remedy: 'extend it with lvextend(8)' }
    const getVolume = (name: string) => this.get(name, ctx)
    return poolFull(place, await failedCreation(spec, { traits: BLOCK_TRAITS, getVolume }, ctx), error)
  }

  async #remove(lvs: readonly string[], ctx: OpContext): Promise<void> {
    await this.#options.lvm.change(['lvremove', '--yes', ...lvs.map((lv) => this.#lv(lv))], ctx)
  }

  async #require(name: string, ctx: OpContext): Promise<LogicalVolume> {
    parseVolumeName(name)
    return this.#found(await this.#options.group(ctx), name)
  }

  #found(group: VolumeGroup, name: string): LogicalVolume {
    const lv = this.#find(group, name)
    if (lv !== undefined && isFinished(lv)) return lv
    throw new AgentError('VOLUME_NOT_FOUND', `volume ${name} is missing in pool ${this.#options.poolId}`)
  }

  #find(group: VolumeGroup, name: string): LogicalVolume | undefined {
    const wanted = this.#lvName(name)
    return group.volumes.find((lv) => lv.name === wanted)
  }

  #volume(lv: LogicalVolume): Volume {
    return {
      poolId: this.#options.poolId,
      name: lv.tags.volume?.name ?? lv.name,
      format: 'raw',
      virtualSizeBytes: lv.sizeBytes,
      allocatedBytes: Math.round(lv.sizeBytes * lv.dataUsed),
      source: { type: 'block', device: this.#path(lv.name), format: 'raw' },
    }
  }

  #lvName(name: string): string {
    return volumeLv(this.#options.volumeGroup, name)
  }

  #lv(name: string): string {
    return `${this.#options.volumeGroup}/${name}`
  }

  #path(lv: string): string {
    return `/dev/${this.#options.volumeGroup}/${lv}`
  }
}

/** True for a volume of ours that is whole. */
export function isFinished({ tags }: LogicalVolume): boolean {
  return tags.volume !== undefined && tags.claim === undefined
}

function foreign(path: string): AgentError {
  return new AgentError('DISK_FILE_FOREIGN', `${path} was not made by the agent; move it away or use another name`)
}

async function isThere(path: string): Promise<boolean> {
  return lstat(path).then(
    () => true,
    () => false,
  )
}
