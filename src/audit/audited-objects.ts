import type { AuditCall } from './audit-line.ts'

// Ids and places; what else a request or answer carries may be secret.
const FIELDS = [
  'id',
  'vmId',
  'vm',
  'poolId',
  'pool',
  'volumeId',
  'volume',
  'snapshotId',
  'snapshot',
  'jobId',
  'job',
  'imageId',
  'catalogId',
  'uploadId',
  'upload',
  'diskId',
  'nicId',
  'portId',
  'device',
  'kind',
  'path',
  'from',
  'to',
  'hostname',
] as const

const MAX_LENGTH = 256

/** The objects that messages are about: their ids, by name, each cut to 256 characters. Later messages win. */
export function auditedObjects(...messages: readonly unknown[]): AuditCall['objects'] {
  const objects: Record<string, string> = {}
  for (const message of messages) {
    if (typeof message !== 'object' || message === null) continue
    for (const field of FIELDS) {
      const value = (message as Record<string, unknown>)[field]
      if (typeof value === 'string' && value !== '') objects[field] = value.slice(0, MAX_LENGTH)
    }
  }
  return objects
}
