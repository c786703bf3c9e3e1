import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { formatBytes } from '../core/bytes.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import type { DiskFormat, DiskSource, Volume } from '../core/model.ts'
import { isInside } from '../platform/files.ts'
import type { CreateOptions, VolumeLayers, VolumeSnapshots, VolumeSpec } from './backend.ts'
import { copyImage } from './copy-image.ts'
import { fileLayers } from './file-layers.ts'
import { fileSnapshots } from './file-snapshots.ts'
import { firstBytes } from './first-bytes.ts'
import { withNumbers } from './full-pool.ts'
import type { PoolGuard } from './pool-guard.ts'
import { createImage, imageInfo, imagePlace, resizeImage, type ConvertSource } from './qemu-img.ts'
import type { PoolTarget, StorageIo, StorageMethod, StorageParams, StorageResult } from './storage-io.ts'
import { parseVolumeName, volumeFile } from './volume-name.ts'
import { checkOrigin, refuseOrigin } from './volume-origin.ts'
import { checkedSpec, checkVolumeSize, requireSameSpec } from './volume-spec.ts'

/** Worker answers about volumes (worker/volumes.ts). */
type VolumeFacts = NonNullable<StorageResult<'readVolume'>>

/** Work that must not be cut in the middle by the caller's signal: each step ends by its own deadline. */
const UNINTERRUPTED = new AbortController().signal
const FILE_TRAITS = { access: 'file', formats: ['qcow2', 'raw'] } as const

/** What the file volumes of one pool are built on. `guard` throws POOL_UNAVAILABLE while the pool is not active. */
export interface FileVolumesOptions {
  readonly target: PoolTarget
  readonly mountPath: string
  readonly nodeId: string
  readonly io: StorageIo
  readonly guard: () => PoolGuard
}

/**
 * Volumes as image files below a pool directory: `<mount>/<name>.<format>`. Serves every file backend. The record of each volume is in the pool
 * (docs/storage.md), so that it outlives this host's state. Semantics: PoolBackend.
 */
export class FileVolumes {
  readonly snapshots: VolumeSnapshots
  readonly layers: VolumeLayers
  readonly #options: FileVolumesOptions
  readonly #locks = new KeyedLock()

  constructor(options: FileVolumesOptions) {
    this.#options = options
    this.snapshots = fileSnapshots({
      locks: this.#locks,
      get: (name, ctx) => this.get(name, ctx),
      require: (name, ctx) => this.#require(name, ctx),
      explained: (error, name, ctx) => this.#explained(error, { name }, ctx),
    })
    this.layers = fileLayers({
      locks: this.#locks,
      require: (name, ctx) => this.#require(name, ctx),
      path: (name) => this.path(name, 'qcow2'),
      explained: (error, name, ctx) => this.#explained(error, { name }, ctx),
      recordBase: async (name, base, ctx) => {
        const params = { guard: this.#options.guard(), name, base: { path: base.path, format: base.format } }
        await this.#call('recordVolumeBase', params, ctx.signal)
      },
    })
  }

  /** Absolute path of a volume's file: the one owner of this rule. */
  path(name: string, format: DiskFormat): string {
    return [this.#options.mountPath, ...volumeFile(name, format)].join('/')
  }

  /** True for every path below the pool's directory. */
  holds(place: string): boolean {
    return isInside(this.#options.mountPath, place)
  }

  async list(ctx: OpContext): Promise<Volume[]> {
    const facts = await this.#call('readVolumes', { guard: this.#options.guard() }, ctx.signal)
    return facts.map((each) => this.#volume(each))
  }

  async get(name: string, ctx: OpContext): Promise<Volume | undefined> {
    parseVolumeName(name)
    const facts = await this.#call('readVolume', { guard: this.#options.guard(), name }, ctx.signal)
    return facts === undefined ? undefined : this.#volume(facts)
  }

  async create(spec: VolumeSpec, ctx: OpContext, options: CreateOptions = {}): Promise<Volume> {
    const wanted = checkedSpec(spec, FILE_TRAITS)
    // A source must not change while it is read.
    const sources = wanted.content.type === 'clone' ? [wanted.content.volume] : []
    return this.#locks.runAll([spec.name, ...sources], ctx.signal, async () => {
      const guard = this.#options.guard()
      const present = await this.#present(wanted, guard, ctx)
      if (present !== undefined) return present
      const origin = await this.#origin(wanted, ctx)
      const isKnown = options.inspected === true && wanted.content.type === 'overlay'
      if (origin !== undefined && !isKnown) await checkOrigin(wanted, origin, ctx)
      const request = { guard, spec: wanted, node: this.#options.nodeId }
      const claim = await this.#call('claimVolume', request, UNINTERRUPTED).catch(async (error: unknown) => {
        throw await this.#explained(error, wanted, ctx)
      })
      if (claim.outcome === 'present') return this.#same(claim.volume, wanted)
      try {
        await this.#write(wanted, origin, claim.writePath, options, ctx)
        ctx.signal.throwIfAborted()
        const publish = { guard, name: spec.name, temp: claim.temp }
        return this.#volume(await this.#call('publishVolume', publish, UNINTERRUPTED))
      } catch (error) {
        // Before what was written goes, and makes room.
        const explained = await this.#explained(error, wanted, ctx)
        await this.#abandon({ guard, name: spec.name, temp: claim.temp }, ctx)
        // It may have changed, or gone, since it was looked at.
        if (origin !== undefined && isKnown) await refuseOrigin(wanted, origin, ctx)
        throw inPool(explained, claim.writePath, this.path(spec.name, spec.format))
      }
    })
  }

  async delete(name: string, ctx: OpContext, owner?: string): Promise<'deleted' | 'already-deleted'> {
    parseVolumeName(name)
    return this.#locks.run(name, ctx.signal, async () => {
      const { guard, nodeId } = this.#options
      const params = { guard: guard(), name, node: nodeId, ...(owner === undefined ? {} : { owner }) }
      return this.#call('deleteVolume', params, UNINTERRUPTED)
    })
  }

  async source(name: string, ctx: OpContext): Promise<DiskSource> {
    return (await this.#require(name, ctx)).source
  }

  async resize(name: string, sizeBytes: number, ctx: OpContext): Promise<Volume> {
    parseVolumeName(name)
    return this.#locks.run(name, ctx.signal, async () => {
      const volume = await this.#require(name, ctx)
      checkVolumeSize(sizeBytes)
      if (sizeBytes === volume.virtualSizeBytes) return volume
      if (sizeBytes < volume.virtualSizeBytes) {
        throw new AgentError(
          'VOLUME_TOO_SMALL',
          `volume ${name} has ${formatBytes(volume.virtualSizeBytes)} and is not shrunk to ${formatBytes(sizeBytes)}`,
        )
      }
      const path = this.path(name, volume.format)
      await resizeImage(path, volume.format, sizeBytes, ctx).catch(async (error: unknown) => {
        throw await this.#explained(error, { name }, ctx)
      })
      return this.#require(name, ctx)
    })
  }

  async #present(spec: VolumeSpec, guard: PoolGuard, ctx: OpContext): Promise<Volume | undefined> {
    const facts = await this.#call('readVolume', { guard, name: spec.name }, ctx.signal)
    return facts === undefined ? undefined : this.#same(facts, spec)
  }

  #same(facts: VolumeFacts, wanted: VolumeSpec): Volume {
    requireSameSpec(facts.spec, wanted)
    return this.#volume(facts)
  }

  /** Where the bytes of a new volume come from; undefined for an empty one. */
  async #origin({ content }: VolumeSpec, ctx: OpContext): Promise<ConvertSource | undefined> {
    switch (content.type) {
      case 'empty':
        return undefined
      case 'overlay':
        return { place: content.path, format: content.format }
      case 'copy':
        return { place: imagePlace(content.source), format: content.source.format }
      case 'clone': {
        const { source } = await this.#require(content.volume, ctx)
        const { snapshot } = content
        return { place: imagePlace(source), format: source.format, ...(snapshot === undefined ? {} : { snapshot }) }
      }
    }
  }

  async #write(
    { name: volume, content, format, sizeBytes }: VolumeSpec,
    origin: ConvertSource | undefined,
    path: string,
    options: CreateOptions,
    ctx: OpContext,
  ): Promise<void> {
    const backing = content.type === 'overlay' ? { backing: { path: content.path, format: content.format } } : {}
    await createImage({ path, format, sizeBytes, ...backing }, ctx)
    if (origin === undefined || content.type === 'overlay') return
    const info = await imageInfo(origin.place, origin.format, ctx)
    const name = `volume ${volume} of pool ${this.#options.target.poolId}`
    await copyImage(origin, { name, place: path, format, zeroed: true }, info, ctx, options)
  }

  // The caller needs the first error; what cannot be removed now is removed by the next activation, from the claim.
  async #abandon(params: StorageParams<'abandonVolume'>, ctx: OpContext): Promise<void> {
    try {
      await this.#call('abandonVolume', params, UNINTERRUPTED)
    } catch (error) {
      ctx.log.error({ volume: params.name, err: errorText(error) }, 'an unfinished volume could not be removed')
    }
  }

  // Without `content`: work on a volume that is there, of which nothing tells how much it writes.
  async #explained(
    error: unknown,
    { name, content }: Pick<VolumeSpec, 'name'> & Partial<VolumeSpec>,
    ctx: OpContext,
  ): Promise<unknown> {
    const look = async () => {
      const params = { guard: this.#options.guard(), write: false }
      const { totalBytes, usedBytes, availableBytes } = await this.#call('probePool', params, ctx.signal)
      const place = { name: `pool ${this.#options.target.poolId}`, totalBytes, usedBytes, availableBytes }
      const what = `volume ${name}`
      if (content === undefined) return [place, { what }] as const
      const files = { traits: FILE_TRAITS, getVolume: (volume: string) => this.get(volume, ctx) }
      return [place, { what, neededBytes: await firstBytes({ content }, files, ctx) }] as const
    }
    return withNumbers(error, look, ctx)
  }

  async #require(name: string, ctx: OpContext): Promise<Volume> {
    const volume = await this.get(name, ctx)
    if (volume !== undefined) return volume
    throw new AgentError('VOLUME_NOT_FOUND', `volume ${name} is missing in pool ${this.#options.target.poolId}`)
  }

  #volume(facts: VolumeFacts): Volume {
    const { name, format } = facts.spec
    return {
      poolId: this.#options.target.poolId,
      name,
      format,
      virtualSizeBytes: facts.virtualSizeBytes,
      allocatedBytes: facts.allocatedBytes,
      source: { type: 'file', path: this.path(name, format), format },
    }
  }

  #call<M extends StorageMethod>(method: M, params: StorageParams<M>, signal: AbortSignal): Promise<StorageResult<M>> {
    return this.#options.io.call(this.#options.target, method, params, { signal })
  }
}

// qemu-img was given a path through a directory handle, which means nothing to the reader.
function inPool(error: unknown, writePath: string, path: string): unknown {
  if (!isAgentError(error) || !error.message.includes(writePath)) return error
  return new AgentError(error.reason, error.message.replaceAll(writePath, path), {
    details: error.details,
    cause: error,
  })
}
