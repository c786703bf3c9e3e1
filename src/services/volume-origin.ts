import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { CreateVolumeRequest, DiskSource, Volume } from '../core/model.ts'
import type { PoolBackend, VolumeContent } from '../storage/backend.ts'
import { parseSnapshotName, parseVolumeName, volumeNameOfPath } from '../storage/volume-name.ts'

/** An image by an absolute path: what the agent reads, and which volume it is when it is one. */
export interface FoundImage {
  readonly source: DiskSource
  readonly virtualSizeBytes: number
  readonly volume?: { readonly poolId: string; readonly name: string }
}

/** Finds a trusted image by absolute path: BACKING_FILE_MISSING, BACKING_FILE_REFUSED, VOLUME_IN_USE. */
export type FindImage = (path: string, ctx: OpContext) => Promise<FoundImage>

/** What a new volume begins with, and how large that is (0 when it is empty). */
export interface ResolvedOrigin {
  readonly content: VolumeContent
  readonly sizeBytes: number
}

/** Where downloads put images in a pool (contract 2.1.3). */
const IMAGES = 'cloud-images'

/**
 * Finds what a request for a volume names (docs/api.md, "Volumes"). `volume`: a volume of the same pool. `snapshot`: `<volume>@<snapshot>`. `image`: an absolute path or an alias
 * path as downloads answer it, a volume of the pool, or the catalog id of an image in it. Errors: INVALID_REQUEST, INVALID_NAME, VOLUME_NOT_FOUND, BACKING_FILE_*.
 */
export async function resolveVolumeOrigin(
  { origin }: Pick<CreateVolumeRequest, 'origin'>,
  backend: PoolBackend,
  findImage: FindImage,
  ctx: OpContext,
): Promise<ResolvedOrigin> {
  switch (origin.type) {
    case 'empty':
      return { content: { type: 'empty' }, sizeBytes: 0 }
    case 'volume':
      return cloneOf(await requireVolume(origin.id, backend, ctx))
    case 'snapshot': {
      const [volume = '', snapshot, ...rest] = origin.id.split('@')
      if (snapshot === undefined || rest.length > 0) {
        throw new AgentError('INVALID_REQUEST', `source_id ${quote(origin.id)}: name a snapshot as <volume>@<snapshot>`)
      }
      parseSnapshotName(snapshot)
      return cloneOf(await requireVolume(volume, backend, ctx), snapshot)
    }
    case 'image':
      return imageOf(origin.id, backend, findImage, ctx)
  }
}

async function imageOf(
  id: string,
  backend: PoolBackend,
  findImage: FindImage,
  ctx: OpContext,
): Promise<ResolvedOrigin> {
  if (!id.startsWith('/')) {
    const name = volumeNameOfPath(id)
    for (const each of [name, `${IMAGES}/${name}`]) {
      const volume = await backend.getVolume(each, ctx)
      if (volume !== undefined) return cloneOf(volume)
    }
    if (backend.mountPath === '') {
      throw new AgentError(
        'BACKING_FILE_MISSING',
        `pool ${backend.config.poolId} has no image ${name}; download it first`,
      )
    }
  }
  const file = id.startsWith('/')
    ? id
    : path.join(backend.mountPath, IMAGES, /\.[a-z0-9]+$/.test(id) ? id : `${id}.qcow2`)
  const { source, virtualSizeBytes, volume } = await findImage(file, ctx)
  const content: VolumeContent =
    volume?.poolId === backend.config.poolId ? { type: 'clone', volume: volume.name } : { type: 'copy', source }
  return { content, sizeBytes: virtualSizeBytes }
}

async function requireVolume(name: string, backend: PoolBackend, ctx: OpContext): Promise<Volume> {
  parseVolumeName(name)
  const volume = await backend.getVolume(name, ctx)
  if (volume !== undefined) return volume
  throw new AgentError('VOLUME_NOT_FOUND', `volume ${name} is missing in pool ${backend.config.poolId}`)
}

function cloneOf({ name, virtualSizeBytes }: Volume, snapshot?: string): ResolvedOrigin {
  const content = { type: 'clone', volume: name, ...(snapshot === undefined ? {} : { snapshot }) } as const
  return { content, sizeBytes: virtualSizeBytes }
}
