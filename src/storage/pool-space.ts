import { formatBytes, GIB, MIB } from '../core/bytes.ts'
import type { PoolObservation } from '../core/model.ts'

/**
 * What the free space of a pool that works means for its health. A full pool is not an unhealthy pool: guests on it run, and only new data is refused. `full` when a write
 * was refused for want of space, whatever the numbers say.
 */
export function judgeSpace(
  { totalBytes, availableBytes }: Pick<PoolObservation, 'totalBytes' | 'availableBytes'>,
  full = false,
): Pick<PoolObservation, 'health' | 'reason' | 'message'> {
  const left = `${formatBytes(availableBytes)} of ${formatBytes(totalBytes)} left`
  if (full || availableBytes < MIB) {
    return { health: 'HEALTHY', reason: 'POOL_FULL', message: `warning: the pool is full, ${left}` }
  }
  if (availableBytes < Math.min(totalBytes * 0.05, 10 * GIB)) {
    return { health: 'HEALTHY', reason: 'POOL_LOW_SPACE', message: `warning: the pool has ${left}` }
  }
  return { health: 'HEALTHY', reason: 'OK', message: '' }
}
