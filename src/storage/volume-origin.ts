import { formatBytes } from '../core/bytes.ts'
import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { placeOf } from '../core/model.ts'
import type { VolumeSpec } from './backend.ts'
import type { ImageInfo } from './qemu-img-info.ts'
import { imageInfo, type ConvertSource } from './qemu-img.ts'

const MIN_COPY_TIMEOUT_MS = 120_000
/** Slowest merge that is still taken to make progress. */
const MIN_COPY_BYTES_PER_MS = 10_000

/** How long merging that many bytes into the file below may take, which tells no progress. */
export function copyTimeoutMs(bytes: number): number {
  return Math.max(MIN_COPY_TIMEOUT_MS, bytes / MIN_COPY_BYTES_PER_MS)
}

/** After a failure: tells if it is the origin that does not do, as `checkOrigin`; whatever else keeps it from being looked at is not what failed. */
export async function refuseOrigin(spec: VolumeSpec, origin: ConvertSource, ctx: OpContext): Promise<void> {
  await checkOrigin(spec, origin, ctx).catch((error: unknown) => {
    if (isAgentError(error, 'BACKING_FILE_MISSING', 'BACKING_FILE_REFUSED', 'VOLUME_TOO_SMALL', 'IMAGE_NOT_AN_IMAGE'))
      throw error
  })
}

/**
 * Looks at what a new volume is to be made from and refuses what would not fit or could lead elsewhere. Errors: BACKING_FILE_MISSING, BACKING_FILE_REFUSED,
 * SNAPSHOT_NOT_FOUND, VOLUME_TOO_SMALL, those of imageInfo.
 */
export async function checkOrigin(
  spec: VolumeSpec,
  { place, format, snapshot }: ConvertSource,
  ctx: OpContext,
): Promise<ImageInfo> {
  const what = typeof place === 'string' ? place : placeOf(place)
  const info = await imageInfo(place, format, ctx).catch((error: unknown) => {
    if (isAgentError(error, 'COMMAND_FAILED') && /No such file or directory/.test(error.message)) {
      throw new AgentError('BACKING_FILE_MISSING', `the image ${what} for volume ${spec.name} is missing`)
    }
    throw error
  })
  if (info.dataFile !== undefined || info.encrypted) {
    throw new AgentError('BACKING_FILE_REFUSED', `the image ${what} is encrypted or has an external data file`)
  }
  if (snapshot !== undefined && !info.snapshots.some(({ name }) => name === snapshot)) {
    throw new AgentError('SNAPSHOT_NOT_FOUND', `${what} has no snapshot ${snapshot} for volume ${spec.name}`)
  }
  if (info.virtualSizeBytes > spec.sizeBytes) {
    throw new AgentError(
      'VOLUME_TOO_SMALL',
      `volume ${spec.name}: ${formatBytes(spec.sizeBytes)} is less than the ${formatBytes(info.virtualSizeBytes)} of its image ${what}`,
      { details: { neededBytes: String(info.virtualSizeBytes) } },
    )
  }
  return info
}
