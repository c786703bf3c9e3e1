import type { OpContext } from '../../core/context.ts'
import { placeOf } from '../../core/model.ts'
import { withoutQuery } from '../../platform/fetch-policy.ts'
import type { PoolAccess } from '../../storage/pool-access.ts'
import { manifestIn } from '../image-note.ts'
import type { ImageVolumes } from '../image-volume.ts'
import type { ScanAnswer, ScannedImage } from './scan-images.ts'

/** Where control planes have their cloud images, in every pool. */
const CLOUD_IMAGES = 'cloud-images/'

/**
 * The images among the volumes of a pool without files: those with the record of an image, whatever their name, and those where images are. As
 * `<volume>.qcow2`, by which callers name them. Errors: those of `require` and of the backend.
 */
export async function scanVolumes(
  poolId: string,
  pools: Pick<PoolAccess, 'require'>,
  images: Pick<ImageVolumes, 'of'>,
  ctx: OpContext,
): Promise<ScanAnswer> {
  const { backend } = await pools.require(poolId, ctx)
  const [volumes, manifests] = await Promise.all([backend.listVolumes(ctx), images.of(poolId)])
  const found = volumes.flatMap((volume): ScannedImage[] => {
    const manifest = manifestIn(volume) ?? manifests.get(volume.name)
    if (manifest === undefined && !volume.name.startsWith(CLOUD_IMAGES)) return []
    const url = URL.parse(manifest?.url ?? '')
    return [
      {
        path: `${volume.name}.qcow2`,
        volume: { name: volume.name, place: placeOf(volume.source) },
        sizeBytes: volume.allocatedBytes,
        modifiedAt: manifest === undefined ? 0 : Date.parse(manifest.createdAt),
        format: volume.format,
        virtualSizeBytes: volume.virtualSizeBytes,
        label: '',
        sha256: manifest?.digests.sha256 ?? '',
        url: url === null ? '' : withoutQuery(url),
        jobId: manifest?.jobId ?? '',
      },
    ]
  })
  return { images: found, cut: false }
}
