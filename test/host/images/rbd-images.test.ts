import { describe, expect, it } from 'vitest'
import { silentLogger, type Progress } from '../../../src/core/context.ts'
import type { DownloadResult } from '../../../src/images/download-stage.ts'
import { scanVolumes } from '../../../src/images/library/scan-volumes.ts'
import { missingCeph } from '../ceph.ts'
import { requirePrerequisite } from '../require.ts'
import { copiesOf, disk, POOL, sha256Of, useRbdHosts, VOLUME } from './rbd-image-hosts.ts'

const signal = new AbortController().signal
const ctx = { signal, log: silentLogger }

describe.skipIf(await requirePrerequisite('ceph', missingCeph))('images in a Ceph RBD pool', () => {
  const rbd = useRbdHosts()
  const { startHost, begin, ended, staged, stopCopy, swept } = rbd

  it('are copied in a cage, and the job tells how far that is', async () => {
    const host = await startHost('one')
    const seen: Progress[] = []
    const jobId = await begin(host, { checksum: `sha256:${disk.sha256}` })
    host.agent.operations.watch(jobId, ({ progress }) => void (progress !== undefined && seen.push(progress)))
    const { state, result } = await ended(host, jobId)
    expect(state).toBe('completed')
    expect(result).toMatchObject({ confinement: expect.stringMatching(/^(bubblewrap|systemd|rlimits)$/) as string })
    const copied = seen.filter(({ phase, bytesTotal }) => phase === 'converting' && bytesTotal === disk.bytes)
    const parts = new Set(copied.map(({ bytesDone }) => bytesDone).filter((done = 0) => done > 0 && done < disk.bytes))
    expect(parts.size).toBeGreaterThan(3)
    expect(seen.at(-1)?.phase).toBe('publishing')
    expect(await rbd.fixture.contents()).toEqual([VOLUME])
    expect(await sha256Of(rbd.cluster, rbd.fixture.image(VOLUME))).toBe(disk.sha256)
    expect(await staged(host)).toEqual([])
  })

  it('are no more after a cancellation in the middle, nor is the program that wrote', async () => {
    const host = await startHost('one')
    const jobId = await begin(host)
    const pid = await stopCopy(host, jobId)
    await host.agent.images.cancel(jobId, signal)
    expect((await ended(host, jobId)).state).toBe('cancelled')
    expect(await copiesOf(host)).toEqual([])
    expect(() => process.kill(pid, 0)).toThrow('ESRCH')
    expect(await staged(host)).toEqual([])
    await swept(host)
  })

  it('are the same image for every host of the pool, with their digests, and are fetched once', async () => {
    const [one, two] = [await startHost('one'), await startHost('two')]
    const query = { url: `${rbd.origin.origin}/disk.img?token=secret`, checksum: `sha256:${disk.sha256}` }
    const { result: made } = await ended(one, await begin(one, query))
    const fetched = rbd.origin.asked.length
    for (const checksum of [query.checksum, '']) {
      const { state, result } = await ended(two, await begin(two, { ...query, checksum }))
      expect({ state, result }).toMatchObject({
        state: 'completed',
        result: { digests: { sha256: disk.sha256 }, reused: true },
      })
    }
    expect(made).toMatchObject({ reused: false })
    expect(rbd.origin.asked.length).toBe(fetched)
    // Another image under the name is a conflict there too.
    for (const change of [{ checksum: `sha256:${'0'.repeat(64)}` }, { url: `${rbd.origin.origin}/other.img` }]) {
      const { error } = await ended(two, await begin(two, { ...query, checksum: '', ...change }))
      expect(error?.reason).toBe('IMAGE_CONFLICT')
    }
    const record = await rbd.cluster.admin('rbd', 'image-meta', 'get', rbd.fixture.image(VOLUME), 'limiquantix.volume')
    expect(record).not.toContain('secret')
    // A disk that is made of it is no image.
    const { backend } = await two.pools.require(POOL, ctx)
    const content = { type: 'clone', volume: 'cloud-images/golden' } as const
    await backend.createVolume({ name: 'disk', format: 'raw', sizeBytes: disk.bytes, content, owner: 'vm:1' }, ctx)
    const { images } = await scanVolumes(POOL, two.pools, two.agent.volumes, ctx)
    expect(images).toMatchObject([
      { path: 'cloud-images/golden.qcow2', sha256: disk.sha256, url: `${rbd.origin.origin}/disk.img` },
    ])
  })

  it('are made twice by hosts that begin at once, and one of them is kept for both', async () => {
    const [one, two] = [await startHost('one'), await startHost('two')]
    const jobs = [await begin(one), await begin(two)] as const
    const results = await Promise.all([ended(one, jobs[0]), ended(two, jobs[1])])
    expect(results).toMatchObject([{ state: 'completed' }, { state: 'completed' }])
    expect(results.map(({ result }) => (result as DownloadResult).digests.sha256)).toEqual([disk.sha256, disk.sha256])
    expect(results.map(({ result }) => (result as DownloadResult).reused).sort()).toEqual([false, true])
    expect(await rbd.fixture.contents()).toEqual([VOLUME])
  })
})
