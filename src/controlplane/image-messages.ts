import type { ImageOs, LibraryImage } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'

/** One image in ScanLocalImages (contract 3.4). */
export interface ScannedImageMessage {
  readonly path: string
  readonly filename: string
  readonly sizeBytes: number
  readonly virtualSizeBytes: number
  readonly format: string
  readonly checksum: string
  readonly detectedOs: {
    readonly family: number
    readonly distribution: string
    readonly version: string
    readonly architecture: string
    readonly defaultUser: string
    readonly cloudInitEnabled: boolean
    readonly provisioningMethod: number
  }
  readonly modifiedAt: string
}

/** What a notification says of an image (contract 3.8), without the node, the event and the time. */
export interface ImageNotice {
  readonly id: string
  readonly name: string
  readonly filename: string
  readonly folder_path: string
  readonly size_bytes: number
  readonly format: string
  readonly storage_pool_id?: string
  readonly path: string
  readonly checksum?: string
  readonly os_family?: string
  readonly os_distribution?: string
  readonly os_version?: string
}

const FAMILIES: Readonly<Record<ImageOs['family'], number>> = { unknown: 0, linux: 1, windows: 2, bsd: 3, other: 4 }
const PROVISIONING: Readonly<Record<ImageOs['provisioning'], number>> = {
  unknown: 0,
  'cloud-init': 1,
  ignition: 2,
  none: 6,
}

/** An image as ScanLocalImages tells it. */
export function scannedImage(image: LibraryImage): ScannedImageMessage {
  const { os } = image
  return {
    path: image.path,
    filename: image.fileName,
    sizeBytes: toUnsigned(image.sizeBytes),
    virtualSizeBytes: toUnsigned(image.virtualSizeBytes),
    format: formatName(image),
    checksum: image.checksum,
    detectedOs: {
      family: FAMILIES[os.family],
      distribution: os.distribution,
      version: os.version,
      architecture: os.architecture,
      defaultUser: os.defaultUser,
      cloudInitEnabled: os.provisioning === 'cloud-init',
      provisioningMethod: PROVISIONING[os.provisioning],
    },
    // The contract's form has no milliseconds.
    modifiedAt: new Date(image.modifiedAt).toISOString().replace(/\.\d+Z$/, 'Z'),
  }
}

/**
 * An image as a notification tells it. What control planes list themselves (`iso/<file>.iso` of a pool) has the path, folder and id they give it; anything else is told without its pool,
 * because they delete records of a pool that are not in their own listing.
 */
export function imageNotice(image: LibraryImage): ImageNotice {
  const { os, poolId, relativePath, checksum } = image
  const listed = isListedByControlPlane(image)
  return {
    id: image.id,
    name: image.name,
    filename: image.fileName,
    folder_path: image.folder,
    size_bytes: toUnsigned(image.sizeBytes),
    format: formatName(image),
    ...(listed ? { storage_pool_id: poolId } : {}),
    path: listed ? relativePath : image.path,
    ...(checksum === '' ? {} : { checksum }),
    ...(os.family === 'unknown' ? {} : { os_family: os.family }),
    ...(os.distribution === '' ? {} : { os_distribution: os.distribution }),
    ...(os.version === '' ? {} : { os_version: os.version }),
  }
}

/** True for ISOs that ScanISOs of the control plane finds: first level of a pool's `iso` directory, by their suffix. */
export function isListedByControlPlane({ poolId, relativePath }: LibraryImage): boolean {
  return poolId !== '' && /^iso\/[^/]+\.iso$/i.test(relativePath)
}

// Control planes know the VHD by the name of its files.
function formatName({ format }: LibraryImage): string {
  return format === 'vpc' ? 'vhd' : format
}
