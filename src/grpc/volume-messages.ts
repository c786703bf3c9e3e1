import type { CreateVolumeRequest, VolumeOrigin } from '../core/model.ts'
import { fieldChecks } from '../services/request-fields.ts'
import type { CloneVolumeRequest__Output } from './gen/limiquantix/node/v1/CloneVolumeRequest.ts'
import type { CreateVolumeRequest__Output } from './gen/limiquantix/node/v1/CreateVolumeRequest.ts'

// VOLUME_SOURCE_* of the contract.
const ORIGINS: Readonly<Record<number, VolumeOrigin['type']>> = { 0: 'empty', 1: 'volume', 2: 'image', 3: 'snapshot' }
/** A volume path, or a path on the host. */
const MAX_ID = 4095

/** A CreateVolume message as the request of VolumeService. INVALID_REQUEST names the proto field. */
export function fromCreateVolumeMessage(message: CreateVolumeRequest__Output): CreateVolumeRequest {
  const { poolId, volumeId } = message
  const check = fieldChecks('INVALID_REQUEST')
  const sizeBytes = check.integer(message.sizeBytes, 'size_bytes', {})
  const type = check.oneOf(message.sourceType, 'source_type', ORIGINS)
  if (type === 'empty') return { poolId, volumeId, sizeBytes, origin: { type } }
  const id = check.text(message.sourceId, 'source_id', { maxBytes: MAX_ID, required: true })
  return { poolId, volumeId, sizeBytes, origin: { type, id } }
}

/** A CloneVolume message: a volume as large as its source. */
export function fromCloneVolumeMessage(message: CloneVolumeRequest__Output): CreateVolumeRequest {
  const id = fieldChecks('INVALID_REQUEST').text(message.sourceVolumeId, 'source_volume_id', {
    maxBytes: MAX_ID,
    required: true,
  })
  return { poolId: message.poolId, volumeId: message.destVolumeId, sizeBytes: 0, origin: { type: 'volume', id } }
}
