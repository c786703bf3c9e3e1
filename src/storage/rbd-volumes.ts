import { randomBytes } from 'node:crypto'
import { formatBytes } from '../core/bytes.ts'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import type { RbdSource, Volume } from '../core/model.ts'
import type { CreateOptions, PoolTraits, VolumeSpec } from './backend.ts'
import { copyImage } from './copy-image.ts'
import { imagePlace } from './qemu-img.ts'
import type { CephTools } from './ceph-tools.ts'
import { failedCreation } from './first-bytes.ts'
import { explainFull } from './rbd-full.ts'
import type { RbdImageInfo, RbdImages } from './rbd-images.ts'
import type { RbdMarker } from './rbd-marker.ts'
import { isWorkImage, volumeImage, workPrefix, type RbdPlace } from './rbd-name.ts'
import { readRbdRecord, rbdRecord, type RbdRecord } from './rbd-record.ts'
import type { RbdWork } from './rbd-work.ts'
import { parseVolumeName } from './volume-name.ts'
import { checkOrigin } from './volume-origin.ts'
import { checkedSpec, checkVolumeSize, isMadeFor, requireSameSpec } from './volume-spec.ts'

/** Work that must not be cut in the middle by the caller's signal: each step ends by its own deadline. */
const UNINTERRUPTED = new AbortController().signal
/** Tools that run at once for one list: each is a process. */
const PARALLEL = 6

/** What the volumes of one RBD pool are built on. `source` describes an image to whoever opens it. */
export interface RbdVolumesOptions {
  readonly poolId: string
  readonly nodeId: string
  readonly traits: PoolTraits
  readonly tools: CephTools
  readonly place: RbdPlace
  readonly images: RbdImages
  readonly marker: RbdMarker
  readonly work: RbdWork
  readonly source: (image: string) => RbdSource
}

/**
 * Volumes as images of a Ceph pool or namespace. An image gets its content and its record (image metadata) under a name that tells whose unfinished work it is, and
 * then, in one step that never replaces another image, its own name: whatever is killed in between, there is a volume or something to be removed. Deletion goes
 * the other way. Semantics: PoolBackend.
 */
export class RbdVolumes {
  readonly locks = new KeyedLock()
  readonly #options: RbdVolumesOptions
  // Which images are volumes, for counting: names that were looked at once are not looked at again.
  readonly #known = new Map<string, boolean>()

  constructor(options: RbdVolumesOptions) {
    this.#options = options
  }

  async list({ signal }: OpContext): Promise<Volume[]> {
    const { images } = this.#options
    await this.#options.marker.check(signal)
    const all = [...(await images.all(signal))].filter(([image]) => !isWorkImage(image))
    const volumes = await mapParallel(all, async ([image, info]) => {
      const record = await this.#record(image, signal)
      return record === undefined ? undefined : this.#volume(image, record, info, signal)
    })
    return volumes.filter((volume) => volume !== undefined).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async get(name: string, { signal }: OpContext): Promise<Volume | undefined> {
    const image = volumeImage(name)
    this.#requireActive()
    const record = await this.#record(image, signal, name)
    const info = record === undefined ? undefined : await this.#options.images.info(image, signal)
    return record === undefined || info === undefined ? undefined : this.#volume(image, record, info, signal)
  }

  /** The volume; VOLUME_NOT_FOUND. */
  async require(name: string, ctx: OpContext): Promise<Volume> {
    const volume = await this.get(name, ctx)
    if (volume !== undefined) return volume
    throw new AgentError('VOLUME_NOT_FOUND', `volume ${name} is missing in pool ${this.#options.poolId}`)
  }

  async create(spec: VolumeSpec, ctx: OpContext, options: CreateOptions = {}): Promise<Volume> {
    const wanted = checkedSpec(spec, this.#options.traits)
    const sources = wanted.content.type === 'clone' ? [wanted.content.volume] : []
    return this.locks.runAll([wanted.name, ...sources], ctx.signal, async () => {
      await this.#options.marker.check(ctx.signal)
      return (await this.#present(wanted, ctx)) ?? this.#make(wanted, options, ctx)
    })
  }

  async delete(name: string, ctx: OpContext, owner?: string): Promise<'deleted' | 'already-deleted'> {
    const { images, marker, nodeId, work } = this.#options
    const image = volumeImage(name)
    return this.locks.run(name, ctx.signal, async () => {
      await marker.check(ctx.signal)
      const record = await this.#record(image, ctx.signal, name)
      if (record === undefined) {
        if (owner === undefined && (await images.info(image, ctx.signal)) !== undefined) throw foreign(name)
        return 'already-deleted'
      }
      if (owner !== undefined && !isMadeFor(record.spec.owner, owner)) return 'already-deleted'
      // Not beside another tool: who reads metadata has the image open.
      const watchers = await images.watchers(image, ctx.signal)
      if (watchers.length > 0) {
        throw new AgentError(
          'VOLUME_IN_USE',
          `volume ${name} is open at ${watchers.map(({ address }) => address.replace(/:0\/\d+$/, '')).join(', ')}; detach it there first`,
        )
      }
      const gone = `${workPrefix('gone', nodeId)}${randomBytes(4).toString('hex')}`
      await images.rename(image, gone, UNINTERRUPTED)
      this.#known.delete(image)
      await work.removeLater(gone, ctx)
      return 'deleted'
    })
  }

  async resize(name: string, sizeBytes: number, ctx: OpContext): Promise<Volume> {
    parseVolumeName(name)
    return this.locks.run(name, ctx.signal, async () => {
      await this.#options.marker.check(ctx.signal)
      const volume = await this.require(name, ctx)
      checkVolumeSize(sizeBytes)
      if (sizeBytes === volume.virtualSizeBytes) return volume
      if (sizeBytes < volume.virtualSizeBytes) {
        throw new AgentError(
          'VOLUME_TOO_SMALL',
          `volume ${name} has ${formatBytes(volume.virtualSizeBytes)} and is not shrunk to ${formatBytes(sizeBytes)}`,
        )
      }
      await this.#options.images.resize(volumeImage(name), sizeBytes, UNINTERRUPTED)
      return this.require(name, ctx)
    })
  }

  /** How many volumes there are. Cheap: what was looked at once counts by its name. */
  async count(signal: AbortSignal, timeoutMs?: number): Promise<number> {
    const names = (await this.#options.images.names(signal, timeoutMs)).filter((image) => !isWorkImage(image))
    const present = new Set(names)
    for (const image of this.#known.keys()) if (!present.has(image)) this.#known.delete(image)
    const unknown = names.filter((image) => !this.#known.has(image))
    await mapParallel(unknown, (image) => this.#record(image, signal))
    return names.filter((image) => this.#known.get(image) === true).length
  }

  // Without a usable record, or with that of another name (a copy made by hand), an image is not ours.
  async #record(image: string, signal: AbortSignal, name?: string): Promise<RbdRecord | undefined> {
    const record = await readRbdRecord(this.#options.images, image, signal)
    const ours = record !== undefined && volumeImage(record.spec.name) === image
    if (ours) this.#known.set(image, true)
    else if (name === undefined) this.#known.set(image, false)
    return ours && (name === undefined || record.spec.name === name) ? record : undefined
  }

  async #present(wanted: VolumeSpec, ctx: OpContext): Promise<Volume | undefined> {
    const { images } = this.#options
    const image = volumeImage(wanted.name)
    const info = await images.info(image, ctx.signal)
    if (info === undefined) return undefined
    const record = await this.#record(image, ctx.signal, wanted.name)
    if (record === undefined) throw foreign(wanted.name)
    requireSameSpec(record.spec, wanted)
    return this.#volume(image, record, info, ctx.signal)
  }

  async #make(wanted: VolumeSpec, options: CreateOptions, ctx: OpContext): Promise<Volume> {
    const { images, work } = this.#options
    const temp = work.begin()
    let renamed = false
    try {
      await this.#fill(temp, wanted, options, ctx)
      ctx.signal.throwIfAborted()
      await images.setMetadata(temp, ...rbdRecord(wanted, options.note), UNINTERRUPTED)
      const image = volumeImage(wanted.name)
      work.naming(temp)
      renamed = await images.rename(temp, image, UNINTERRUPTED)
      if (renamed) {
        this.#known.set(image, true)
        return await this.#made(image, wanted, options)
      }
      // Another host was faster.
      const present = await this.#present(wanted, ctx)
      if (present !== undefined) return present
      throw new AgentError('CONFLICT', `volume ${wanted.name} is being made by another host; retry`)
    } catch (error) {
      const { tools, place, traits } = this.#options
      const volumes = { traits, getVolume: (name: string) => this.get(name, ctx) }
      const failed = () => failedCreation(wanted, volumes, ctx)
      throw await explainFull(tools.translated(error), failed, { tools, place }, ctx)
    } finally {
      if (renamed) work.finished(temp)
      else await work.end(temp, ctx)
    }
  }

  // Each question is a process: of an empty image all answers are known.
  async #made(image: string, spec: VolumeSpec, { note }: CreateOptions): Promise<Volume> {
    const allocatedBytes =
      spec.content.type === 'empty' ? 0 : await this.#options.images.usedBytes(image, UNINTERRUPTED)
    return this.#view(image, { spec, note }, spec.sizeBytes, allocatedBytes)
  }

  async #fill(temp: string, wanted: VolumeSpec, options: CreateOptions, ctx: OpContext): Promise<void> {
    const { images, source, poolId } = this.#options
    const { content, sizeBytes } = wanted
    switch (content.type) {
      case 'empty':
        return images.create(temp, sizeBytes, ctx.signal)
      case 'clone':
        return this.#clone(temp, wanted, content, ctx)
      case 'copy': {
        const origin = { place: imagePlace(content.source), format: content.source.format }
        const info = await checkOrigin(wanted, origin, ctx)
        await images.create(temp, sizeBytes, ctx.signal)
        const name = `volume ${wanted.name} of pool ${poolId}`
        const target = { name, place: source(temp), format: 'raw', zeroed: true } as const
        await copyImage(origin, target, info, ctx, options)
        return
      }
      case 'overlay':
        throw new AgentError(
          'INVALID_REQUEST',
          `volume ${wanted.name}: an overlay is a file, which it would not be here`,
        )
    }
  }

  async #clone(
    temp: string,
    { name, sizeBytes }: VolumeSpec,
    { volume, snapshot }: { volume: string; snapshot?: string },
    ctx: OpContext,
  ): Promise<void> {
    const { images, work } = this.#options
    const parent = volumeImage(volume)
    const { virtualSizeBytes } = await this.require(volume, ctx)
    const from =
      snapshot === undefined ? undefined : (await images.snapshots(parent, ctx.signal)).find((s) => s.name === snapshot)
    if (snapshot !== undefined && from === undefined) {
      throw new AgentError('SNAPSHOT_NOT_FOUND', `volume ${volume} has no snapshot ${snapshot} for volume ${name}`)
    }
    const neededBytes = from?.sizeBytes ?? virtualSizeBytes
    if (neededBytes > sizeBytes) {
      throw new AgentError(
        'VOLUME_TOO_SMALL',
        `volume ${name}: ${formatBytes(sizeBytes)} is less than the ${formatBytes(neededBytes)} of volume ${volume}`,
        { details: { neededBytes: String(neededBytes) } },
      )
    }
    if (from !== undefined) await images.clone(parent, from.name, temp, ctx.signal)
    else await work.withSnapshot(parent, (moment) => images.clone(parent, moment, temp, ctx.signal), ctx)
    if (neededBytes < sizeBytes) await images.resize(temp, sizeBytes, ctx.signal)
  }

  async #volume(
    image: string,
    record: RbdRecord,
    info: Pick<RbdImageInfo, 'sizeBytes'>,
    signal: AbortSignal,
  ): Promise<Volume> {
    return this.#view(image, record, info.sizeBytes, await this.#options.images.usedBytes(image, signal))
  }

  #view(
    image: string,
    { spec, note }: { readonly spec: VolumeSpec; readonly note?: string | undefined },
    virtualSizeBytes: number,
    allocatedBytes: number,
  ): Volume {
    const { poolId, source } = this.#options
    const volume = {
      poolId,
      name: spec.name,
      format: 'raw',
      virtualSizeBytes,
      allocatedBytes,
      source: source(image),
    } as const
    return note === undefined ? volume : { ...volume, note }
  }

  #requireActive(): void {
    if (this.#options.marker.generation !== undefined) return
    throw new AgentError('POOL_UNAVAILABLE', `pool ${this.#options.poolId} is not active`)
  }
}

function foreign(name: string): AgentError {
  return new AgentError(
    'DISK_FILE_FOREIGN',
    `an image that the agent did not make is in the place of volume ${name}; move it away or use another name`,
  )
}

async function mapParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = []
  let next = 0
  const worker = async () => {
    for (let index = next++; index < items.length; index = next++) results[index] = await work(items[index] as T)
  }
  await Promise.all(Array.from({ length: Math.min(PARALLEL, items.length) }, worker))
  return results
}
