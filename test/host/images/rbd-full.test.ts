import { describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { until } from '../../support/until.ts'
import { missingCeph } from '../ceph.ts'
import { requirePrerequisite } from '../require.ts'
import { disk, POOL, sha256Of, useRbdHosts, VOLUME } from './rbd-image-hosts.ts'

const MIB = 1024 * 1024
const ctx = { signal: new AbortController().signal, log: silentLogger }

describe.skipIf(await requirePrerequisite('ceph', missingCeph))('images in a Ceph RBD pool that fills up', () => {
  const rbd = useRbdHosts()
  const { startHost, begin, ended, staged, stopCopy, swept } = rbd

  const flags = async (): Promise<string[]> => {
    const pools = JSON.parse(await rbd.cluster.admin('ceph', 'osd', 'pool', 'ls', 'detail', '--format', 'json')) as {
      pool_name: string
      flags_names: string
    }[]
    return pools.find(({ pool_name }) => pool_name === 'rbd')?.flags_names.split(',') ?? []
  }

  it('end with the numbers when the pool is full in the middle, and the job can be repeated', async () => {
    const host = await startHost('one')
    const jobId = await begin(host)
    const pid = await stopCopy(host, jobId)
    try {
      await rbd.cluster.admin('rados', '--pool', 'rbd', 'bench', '5', 'write', '--no-cleanup', '--max-objects', '8')
      await rbd.cluster.admin('ceph', 'osd', 'pool', 'set-quota', 'rbd', 'max_bytes', String(8 * MIB))
      await until(async () => (await flags()).includes('full'), 90_000)
      process.kill(pid, 'SIGCONT')
      const { state, error } = await ended(host, jobId)
      expect({ state, reason: error?.reason }).toEqual({ state: 'failed', reason: 'POOL_FULL' })
      expect(error?.message).toMatch(/quota of 8.* MiB, 0.* left, and volume cloud-images\/golden needs 19\d/)
      expect(error?.details).toMatchObject({ quotaBytes: String(8 * MIB) })
      expect(Number(error?.details['neededBytes'])).toBeGreaterThanOrEqual(disk.bytes)
      expect(await staged(host)).toEqual([])
    } finally {
      await rbd.cluster.admin('ceph', 'osd', 'pool', 'set-quota', 'rbd', 'max_bytes', '0')
      await rbd.cluster.admin('rados', '--pool', 'rbd', 'cleanup')
    }
    await until(async () => !(await flags()).includes('full'), 90_000)
    // Its clients wait for twenty seconds at a time while it is full, and for a while after.
    await until(
      () =>
        host.pools.require(POOL, ctx).then(
          () => true,
          () => false,
        ),
      180_000,
    )
    await swept(host)
    const again = await host.agent.operations.retry(jobId)
    expect(await ended(host, again.id)).toMatchObject({ state: 'completed' })
    expect(await sha256Of(rbd.cluster, rbd.fixture.image(VOLUME))).toBe(disk.sha256)
    // Monitors look at quotas every few seconds, and a client gives up after twenty.
  }, 500_000)
})
