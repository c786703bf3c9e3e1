import { createHash } from 'node:crypto'
import type { CloudInitConfig, CreateVmRequest } from '../core/model.ts'

/**
 * Digest of what was asked for, to tell the same request again from another one under the same id. cloud-init and the VNC password are left out: their digest would be readable
 * for everybody who may read domains, and passwords can be guessed from digests.
 */
export function specDigest(request: CreateVmRequest): string {
  const { cloudInit: _secret, vncPassword: _password, ...spec } = request.spec
  return digest({ name: request.name, spec, labels: request.labels })
}

/** Digest of the cloud-init documents, for a file that only root reads. */
export function cloudInitDigest(config: CloudInitConfig | undefined): string {
  return digest(config ?? {})
}

function digest(value: unknown): string {
  return `sha256:${createHash('sha256')
    .update(JSON.stringify(canonical(value)))
    .digest('hex')}`
}

// Keys in order and defaults left out: a field added by a later version does not change the digest of an old request.
function canonical(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(canonical)
  if (typeof value !== 'object' || value === null) return value
  const entries = Object.entries(value)
    .filter(([, one]) => !isDefault(one))
    .sort(([a], [b]) => (a < b ? -1 : 1))
  return entries.map(([key, one]) => [key, canonical(one)])
}

function isDefault(value: unknown): boolean {
  return (
    value === undefined ||
    value === '' ||
    value === 0 ||
    value === false ||
    (Array.isArray(value) && value.length === 0)
  )
}
