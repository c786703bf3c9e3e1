import { isDeepStrictEqual } from 'node:util'
import type { OpContext } from '../core/context.ts'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { formatBytes } from '../core/bytes.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import type { DiskFormat, DiskSource, Volume } from '../core/model.ts'
import type { VolumeSpec } from './backend.ts'
import type { PoolGuard } from './pool-guard.ts'
import { convertImage, createImage, imageInfo, resizeImage } from './qemu-img.ts'
import type { PoolTarget, StorageIo, StorageMethod, StorageParams, StorageResult } from './storage-io.ts'
import { parseVolumeName, volumeFile } from './volume-name.ts'

/** Worker answers about volumes (worker/volumes.ts). */
type VolumeFacts = NonNullable<StorageResult<'readVolume'>>

/** Work that must not be cut in the middle by the caller's signal: each step ends by its own deadline. */
const UNINTERRUPTED = new AbortController().signal
const MIN_COPY_TIMEOUT_MS = 120_000
/** Slowest copy that is still taken to make progress. */
const MIN_COPY_BYTES_PER_MS = 10_000

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
  readonly #options: FileVolumesOptions
  readonly #locks = new KeyedLock()

  constructor(options: FileVolumesOptions) {
    this.#options = options
  }

  /** Absolute path of a volume's file: the one owner of this rule. */
  path(name: string, format: DiskFormat): string {
    return [this.#options.mountPath, ...volumeFile(name, format)].join('/')
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

  async create(spec: VolumeSpec, ctx: OpContext): Promise<Volume> {
    parseVolumeName(spec.name)
    return this.#locks.run(spec.name, ctx.signal, async () => {
      const wanted = checkedSpec(spec)
      const guard = this.#options.guard()
      const present = await this.#present(wanted, guard, ctx)
      if (present !== undefined) return present
      await checkSource(wanted, ctx)
      const claim = await this.#call('claimVolume', { guard, spec: wanted, node: this.#options.nodeId }, UNINTERRUPTED)
      if (claim.outcome === 'present') return this.#same(claim.volume, wanted)
      try {
        await this.#write(wanted, claim.writePath, ctx)
        ctx.signal.throwIfAborted()
        const publish = { guard, name: spec.name, temp: claim.temp }
        return this.#volume(await this.#call('publishVolume', publish, UNINTERRUPTED))
      } catch (error) {
        await this.#abandon({ guard, name: spec.name, temp: claim.temp }, ctx)
        throw inPool(error, claim.writePath, this.path(spec.name, spec.format))
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
      checkSize(sizeBytes)
      if (sizeBytes === volume.virtualSizeBytes) return volume
      if (sizeBytes < volume.virtualSizeBytes) {
        throw new AgentError(
          'VOLUME_TOO_SMALL',
          `volume ${name} has ${formatBytes(volume.virtualSizeBytes)} and is not shrunk to ${formatBytes(sizeBytes)}`,
        )
      }
      await resizeImage(this.path(name, volume.format), volume.format, sizeBytes, ctx)
      return this.#require(name, ctx)
    })
  }

  async #present(spec: VolumeSpec, guard: PoolGuard, ctx: OpContext): Promise<Volume | undefined> {
    const facts = await this.#call('readVolume', { guard, name: spec.name }, ctx.signal)
    return facts === undefined ? undefined : this.#same(facts, spec)
  }

  #same(facts: VolumeFacts, wanted: VolumeSpec): Volume {
    if (isDeepStrictEqual(facts.spec, wanted)) return this.#volume(facts)
    throw new AgentError(
      'VOLUME_CONFLICT',
      `volume ${wanted.name} is there with other properties (made for ${facts.spec.owner}, ${facts.spec.format}, ${formatBytes(facts.spec.sizeBytes)})`,
    )
  }

  async #write(spec: VolumeSpec, path: string, ctx: OpContext): Promise<void> {
    const { content, format, sizeBytes } = spec
    if (content.type === 'copy') {
      const info = await imageInfo(content.path, content.format, ctx)
      const timeoutMs = Math.max(MIN_COPY_TIMEOUT_MS, info.virtualSizeBytes / MIN_COPY_BYTES_PER_MS)
      await convertImage(content, { path, format }, timeoutMs, ctx)
      if (info.virtualSizeBytes < sizeBytes) await resizeImage(path, format, sizeBytes, ctx)
      return
    }
    const backing = content.type === 'overlay' ? { backing: { path: content.path, format: content.format } } : {}
    await createImage({ path, format, sizeBytes, ...backing }, ctx)
  }

  // The caller needs the first error; what cannot be removed now is removed by the next activation, from the claim.
  async #abandon(params: StorageParams<'abandonVolume'>, ctx: OpContext): Promise<void> {
    try {
      await this.#call('abandonVolume', params, UNINTERRUPTED)
    } catch (error) {
      ctx.log.error({ volume: params.name, err: errorText(error) }, 'an unfinished volume could not be removed')
    }
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

// Only the known members, so that equal requests compare equal whatever else an object carries.
function checkedSpec(spec: VolumeSpec): VolumeSpec {
  const { name, format, sizeBytes, owner, content } = spec
  checkSize(sizeBytes)
  if (content.type === 'empty') return { name, format, sizeBytes, content: { type: 'empty' }, owner }
  if (content.type === 'overlay' && format !== 'qcow2') {
    throw new AgentError('INVALID_REQUEST', `volume ${name}: an overlay is always qcow2, not ${format}`)
  }
  return {
    name,
    format,
    sizeBytes,
    content: { type: content.type, path: content.path, format: content.format },
    owner,
  }
}

function checkSize(sizeBytes: number): void {
  if (Number.isSafeInteger(sizeBytes) && sizeBytes > 0 && sizeBytes % 512 === 0) return
  throw new AgentError(
    'INVALID_REQUEST',
    `a volume of ${sizeBytes} bytes cannot be made; give a positive multiple of 512`,
  )
}

async function checkSource(spec: VolumeSpec, ctx: OpContext): Promise<void> {
  const { content } = spec
  if (content.type === 'empty') return
  const info = await imageInfo(content.path, content.format, ctx).catch((error: unknown) => {
    if (isAgentError(error, 'COMMAND_FAILED') && /No such file or directory/.test(error.message)) {
      throw new AgentError('BACKING_FILE_MISSING', `the image ${content.path} for volume ${spec.name} is missing`)
    }
    throw error
  })
  if (info.dataFile !== undefined || info.encrypted) {
    throw new AgentError('BACKING_FILE_REFUSED', `the image ${content.path} is encrypted or has an external data file`)
  }
  if (info.virtualSizeBytes > spec.sizeBytes) {
    throw new AgentError(
      'VOLUME_TOO_SMALL',
      `volume ${spec.name}: ${formatBytes(spec.sizeBytes)} is less than the ${formatBytes(info.virtualSizeBytes)} of its image ${content.path}`,
      { details: { neededBytes: String(info.virtualSizeBytes) } },
    )
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
