import { describe, expect, it } from 'vitest'
import { heartbeatRequest } from '../../../src/controlplane/heartbeat.ts'
import type { PoolHealth, PoolInfo } from '../../../src/core/model.ts'
import { updateHeartbeat } from '../../control-plane/schemas.ts'
import { LOAD, pool } from './link-fixture.ts'

const request = (...pools: PoolInfo[]) =>
  heartbeatRequest('node-1', { load: () => LOAD, pools: () => pools, runningVmCount: () => 3 })

describe('heartbeatRequest', () => {
  it('has exactly the keys and types of the contract', () => {
    const body = request(pool('p1', 'HEALTHY'))
    expect(updateHeartbeat.parse(JSON.parse(JSON.stringify(body)))).toEqual({
      nodeId: 'node-1',
      cpuUsagePercent: 12.35,
      memoryUsedMib: 100 * 1024,
      memoryTotalMib: 400 * 1024,
      runningVmCount: 3,
      load1m: 1.5,
      load5m: 1.25,
      load15m: 1,
      storagePools: [
        {
          poolId: 'p1',
          health: 1,
          totalBytes: 1000,
          usedBytes: 400,
          availableBytes: 600,
          mountPath: '/srv/p1',
          volumeCount: 3,
          errorMessage: '',
        },
      ],
    })
  })

  it.for<[PoolHealth, number]>([
    ['UNKNOWN', 0],
    ['HEALTHY', 1],
    ['DEGRADED', 2],
    ['ERROR', 3],
    ['UNMOUNTED', 4],
  ])('maps %s to %i', ([health, number]) => {
    expect(request(pool('p', health)).storagePools[0]?.health).toBe(number)
  })

  it('says why a pool is not healthy, without the words that control planes act on', () => {
    const [report] = request(
      pool('p', 'ERROR', { message: 'marker not found; the directory already exists' }),
    ).storagePools
    expect(report?.errorMessage).toBe('marker missing; the directory now is present')
    expect(request(pool('p', 'UNMOUNTED')).storagePools[0]?.errorMessage).toBe('POOL_UNAVAILABLE')
  })

  it('never sends a number that a strict decoder refuses', () => {
    const body = heartbeatRequest('n', {
      load: () => ({ ...LOAD, cpuUsagePercent: Number.NaN, memoryUsedBytes: 1.5, load1: Number.POSITIVE_INFINITY }),
      pools: () => [pool('p', 'HEALTHY', { availableBytes: -4096, usedBytes: 0.5, totalBytes: Number.NaN })],
      runningVmCount: () => 1,
    })
    expect(() => updateHeartbeat.parse(JSON.parse(JSON.stringify(body)))).not.toThrow()
  })
})
