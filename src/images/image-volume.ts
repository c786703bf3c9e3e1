import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { StateCollection } from '../platform/state-store.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import type { CopyReport } from '../storage/backend.ts'
import { formatIn } from '../storage/volume-content.ts'
import type { VolumeManager } from '../storage/volume-manager.ts'
import type { DownloadParams } from './download-plan.ts'
import type { ImageFacts } from './inspect.ts'
import { imageNote, manifestIn, type VolumeManifest } from './image-note.ts'
import { answersRequest, type Expected } from './manifest.ts'

/** A download whose target is a volume. */
export type VolumeParams = DownloadParams & { readonly volume: string }

export interface ImageVolumesDeps {
  readonly pools: PoolAccess
  readonly volumes: Pick<VolumeManager, 'create' | 'delete'>
  /** Collection of the state store, for pools that keep no notes: what is in a volume cannot be told from the volume. */
  readonly manifests: StateCollection<VolumeManifest>
}

const SECTOR = 512

/** Images that are volumes, in pools without files. The volume is made in one piece by its pool: one that is there is complete. */
export class ImageVolumes {
  readonly #deps: ImageVolumesDeps

  constructor(deps: ImageVolumesDeps) {
    this.#deps = deps
  }

  /**
   * What is in the image's place, if it is what is asked for. A volume without a manifest is taken for it unless there is a checksum to
   * prove; IMAGE_CONFLICT for anything else.
   */
  async existing(
    params: VolumeParams,
    expected: Expected,
    ctx: OpContext,
  ): Promise<(Partial<VolumeManifest> & ImageFacts) | undefined> {
    const { backend } = await this.#deps.pools.require(params.poolId, ctx)
    const volume = await backend.getVolume(params.volume, ctx)
    if (volume === undefined) return undefined
    const { format, virtualSizeBytes } = volume
    const kept = manifestIn(volume) ?? (await this.#deps.manifests.get(keyOf(params)))
    // A manifest may have outlived its volume, and another one may have its name.
    const manifest = kept !== undefined && volumeBytes(kept) === virtualSizeBytes ? kept : undefined
    if (manifest === undefined) {
      if (expected.source.length + expected.final.length === 0)
        return { format, virtualSizeBytes, fileSizeBytes: virtualSizeBytes }
      throw conflict(params, 'it has no record of an image, so its checksum is not known')
    }
    const answer = answersRequest({ ...manifest, mtimeMs: 0 }, params.url, expected)
    if (answer !== 'yes') throw conflict(params, 'it was made from another URL or has another checksum')
    return { ...manifest, fileSizeBytes: manifest.sizeBytes }
  }

  /** What this host knows of the images in the volumes of a pool, by the name of the volume. One may have outlived its volume; what the volume itself says (manifestIn) comes first. */
  async of(poolId: string): Promise<Map<string, VolumeManifest>> {
    const prefix = `${poolId}/`
    const entries = await this.#deps.manifests.entries()
    return new Map(
      entries.flatMap(([key, manifest]) => (key.startsWith(prefix) ? [[key.slice(prefix.length), manifest]] : [])),
    )
  }

  /** Deletes the volume with what is known of it; success when it is gone. Errors: those of VolumeManager.delete. */
  async delete(place: { readonly poolId: string; readonly volume: string }, ctx: OpContext): Promise<void> {
    await this.#deps.volumes.delete(place.poolId, place.volume, ctx)
    await this.#deps.manifests.delete(keyOf(place))
  }

  /** Writes the image file at `path` into its volume; `onCopy` hears how far that is. Errors: those of VolumeManager.create. */
  async publish(
    params: VolumeParams,
    path: string,
    manifest: VolumeManifest,
    ctx: OpContext,
    onCopy?: (report: CopyReport) => void,
  ): Promise<void> {
    const { pools, volumes, manifests } = this.#deps
    const { backend } = await pools.require(params.poolId, ctx)
    // The manifest goes first: a crash in between leaves a manifest without a volume, never a volume of which nothing is known.
    await manifests.put(keyOf(params), manifest)
    try {
      await volumes.create(
        params.poolId,
        {
          name: params.volume,
          format: formatIn(backend.traits, 'qcow2'),
          sizeBytes: volumeBytes(manifest),
          content: { type: 'copy', source: { type: 'file', path, format: manifest.format } },
          owner: `image:${manifest.jobId}`,
        },
        ctx,
        { note: imageNote(manifest), ...(onCopy === undefined ? {} : { onCopy }) },
      )
    } catch (error) {
      await manifests.delete(keyOf(params))
      throw error
    }
  }
}

function volumeBytes({ virtualSizeBytes }: VolumeManifest): number {
  return Math.ceil(virtualSizeBytes / SECTOR) * SECTOR
}

function keyOf({ poolId, volume }: Pick<VolumeParams, 'poolId' | 'volume'>): string {
  return `${poolId}/${volume}`
}

function conflict({ poolId, volume }: VolumeParams, why: string): AgentError {
  return new AgentError(
    'IMAGE_CONFLICT',
    `volume ${volume} of pool ${poolId} is another one than the image asked for: ${why}; delete it or use another file name`,
  )
}
