import { toAgentError } from '../core/errors.ts'
import type { PoolHealth } from '../core/model.ts'
import type { ProbeResult } from './backend.ts'

/** The storage is not there or another one is in its place: certain at once, unlike a time-out. */
export const CERTAIN_REASONS: readonly string[] = [
  'POOL_PATH_MISSING',
  'POOL_IDENTITY_MISMATCH',
  'POOL_NOT_MOUNTED',
  'POOL_STALE',
  'MOUNT_FOREIGN',
  'DEVICE_MISSING',
  'POOL_NOT_ACTIVE',
  'CEPH_POOL_MISSING',
]

/** There is no storage at the path at all. */
const UNMOUNTED_REASONS: readonly string[] = ['POOL_PATH_MISSING', 'POOL_NOT_MOUNTED']

/** What a failed look at a pool says. Sizes are 0: nothing is known. */
export function unreachable(error: unknown, latencyMs: number): ProbeResult {
  const { reason, message } = toAgentError(error)
  const health: PoolHealth = UNMOUNTED_REASONS.includes(reason) ? 'UNMOUNTED' : 'ERROR'
  return {
    health,
    reason,
    message,
    totalBytes: 0,
    usedBytes: 0,
    availableBytes: 0,
    volumeCount: 0,
    observedAt: Date.now(),
    probeLatencyMs: Math.round(latencyMs),
  }
}
