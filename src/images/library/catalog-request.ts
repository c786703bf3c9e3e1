import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { DownloadRequest } from '../../core/model.ts'
import { aliasPath } from '../../storage/pool-alias.ts'
import type { ImageCatalog } from './image-catalog.ts'

/** Where images go when a request does not say. */
export interface ImageHomes {
  /** Directory of images without a pool. */
  readonly cloudImages: string
  /** As in StoragePaths. */
  readonly aliases: string
}

/** Directory of images in every pool (contract 2.1.3). */
const IN_POOL = 'cloud-images'

/**
 * Fills in what a request leaves out: the place, and, for one that names a catalog image and no URL, everything the catalog knows. A proof that the request gives is the only one that counts. Errors:
 * INVALID_REQUEST, CATALOG_UNKNOWN.
 */
export async function completeRequest(
  request: DownloadRequest,
  catalog: Pick<ImageCatalog, 'find'>,
  homes: ImageHomes,
): Promise<DownloadRequest> {
  const { catalogId, poolId } = request
  const home = poolId === '' ? homes.cloudImages : aliasPath(homes.aliases, poolId, IN_POOL)
  const placed = { ...request, targetDir: request.targetDir === '' ? home : request.targetDir }
  if (request.url !== '') {
    if (request.imageId !== '') return placed
    return { ...placed, imageId: catalogId === '' ? request.url.slice(0, 255) : catalogId }
  }
  if (catalogId === '') {
    throw new AgentError('INVALID_REQUEST', 'url: must not be empty; give it, or the catalogId of a catalog image')
  }
  const image = await catalog.find(catalogId)
  if (image === undefined) {
    throw new AgentError(
      'CATALOG_UNKNOWN',
      `the catalog has no image ${quote(catalogId)}; give its url, or add it to a file of images.catalog_dir`,
    )
  }
  const { url, checksum = '', checksumUrl = '', signatureUrl = '', finalChecksum = '' } = image
  const given = [request.checksum, request.checksumUrl ?? '', request.finalChecksum ?? ''].some((text) => text !== '')
  const proof = given ? {} : { checksum, checksumType: '', checksumUrl, signatureUrl, finalChecksum }
  return { ...placed, ...proof, imageId: request.imageId === '' ? catalogId : request.imageId, url }
}
