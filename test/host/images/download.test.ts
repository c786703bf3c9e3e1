import { execFile, fork } from 'node:child_process'
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { mkdir, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import type { DownloadJob, DownloadRequest } from '../../../src/core/model.ts'
import { manifestPath, readManifest } from '../../../src/images/manifest.ts'
import { rawDisk, startImageServer, type ImageServer } from '../../unit/images/image-server.ts'
import { missingCommand, missingRoot, requirePrerequisite } from '../require.ts'
import { startTestAgent, type TestAgent, type TestAgentOptions } from './test-agent.ts'

const run = promisify(execFile)
const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))
const noRoot = await requirePrerequisite('root', missingRoot)
const sha256 = (bytes: Buffer) => createHash('sha256').update(bytes).digest('hex')
const signal = new AbortController().signal

describe.skipIf(missing !== undefined)('image download', () => {
  let image: Buffer
  let server: ImageServer
  let dir: string
  let agent: TestAgent

  beforeAll(async () => {
    const scratch = await mkdtemp(path.join(tmpdir(), 'lqx-image-'))
    await writeFile(`${scratch}/disk.raw`, rawDisk(6 * 1024 * 1024))
    await run('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', `${scratch}/disk.raw`, `${scratch}/disk.qcow2`])
    image = await readFile(`${scratch}/disk.qcow2`)
    await rm(scratch, { recursive: true })
    server = await startImageServer(image)
  })
  afterAll(async () => server[Symbol.asyncDispose]())
  beforeEach(async () => {
    dir = await mkdtemp(path.join(tmpdir(), 'lqx-download-'))
    server.requests.length = 0
    await start()
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await rm(dir, { recursive: true, force: true })
  })

  const start = async (options: TestAgentOptions = {}) => {
    agent = await startTestAgent(dir, options)
  }
  const request = (change: Partial<DownloadRequest> = {}): DownloadRequest => ({
    imageId: 'image-1',
    catalogId: 'debian-12',
    url: `${server.origin}/ok`,
    targetDir: `${dir}/pool/cloud-images`,
    filename: '',
    poolId: 'pool-1',
    checksum: '',
    checksumType: '',
    ...change,
  })
  const finish = async (job: DownloadJob): Promise<DownloadJob> => {
    await agent.operations.wait(job.jobId, signal)
    return agent.images.job(job.jobId)
  }
  const download = async (change: Partial<DownloadRequest> = {}) =>
    finish(await agent.images.download(request(change), signal))
  const reasonOf = (job: DownloadJob) => agent.operations.get(job.jobId)?.error?.reason
  const inTarget = async () =>
    existsSync(`${dir}/pool/cloud-images`) ? (await readdir(`${dir}/pool/cloud-images`)).sort() : []
  const published = ['.debian-12.qcow2.lqx.json', 'debian-12.qcow2']
  /** Waits until the job has received something. */
  const moving = async (jobId: string) => {
    for await (const job of agent.images.watch(jobId, signal)) if (job.bytesDone > 0 || job.finishedAt) return job
    throw new Error('the watch ended')
  }

  it('puts a verified image and its manifest in place', async () => {
    const job = await download({ checksum: `sha256:${sha256(image)}` })
    expect(job).toMatchObject({
      state: 'completed',
      phase: 'done',
      percent: 100,
      bytesDone: image.length,
      bytesTotal: image.length,
      targetPath: `${dir}/pool/cloud-images/debian-12.qcow2`,
      errorMessage: '',
    })
    expect(await inTarget()).toEqual(published)
    expect((await readFile(job.targetPath)).equals(image)).toBe(true)
    expect((await stat(job.targetPath)).mode & 0o777).toBe(0o644)
    expect(await readManifest(job.targetPath)).toMatchObject({
      url: `${server.origin}/ok`,
      digests: { sha256: sha256(image) },
      checksumGiven: true,
      tools: {
        'qemu-img': expect.stringMatching(/^\d+\./) as string,
        confinement: expect.stringMatching(/^(bubblewrap|systemd|rlimits)$/) as string,
      },
      format: 'qcow2',
      virtualSizeBytes: 6 * 1024 * 1024,
      sizeBytes: image.length,
    })
    expect(agent.workers()).toEqual([])
  })

  it('works without checksum or length, with sha512, below an allowed base directory, and from the name in the URL', async () => {
    const sha512 = createHash('sha512').update(image).digest('hex')
    expect(await download({ url: `${server.origin}/chunked` })).toMatchObject({
      state: 'completed',
      bytesTotal: image.length,
    })
    const job = await download({
      url: `${server.origin}/to?${server.origin}/ok`,
      poolId: 'unknown-pool',
      targetDir: `${dir}/base/cloud-images`,
      catalogId: '',
      checksum: sha512,
      checksumType: 'sha512',
    })
    expect(job).toMatchObject({ state: 'completed', targetPath: `${dir}/base/cloud-images/to`, poolId: 'unknown-pool' })
  })

  const faults: [name: string, change: Partial<DownloadRequest>, reason: string][] = [
    ['a wrong checksum', { checksum: 'sha256:' + '0'.repeat(64) }, 'CHECKSUM_MISMATCH'],
    ['404', { url: '/404' }, 'DOWNLOAD_HTTP_STATUS'],
    ['a web page', { url: '/html' }, 'IMAGE_NOT_AN_IMAGE'],
    ['an empty answer', { url: '/empty' }, 'IMAGE_NOT_AN_IMAGE'],
    ['a truncated body', { url: '/truncated' }, 'DOWNLOAD_TRUNCATED'],
    ['a reset connection', { url: '/reset' }, 'DOWNLOAD_CONNECT'],
    ['a redirect loop', { url: '/loop' }, 'DOWNLOAD_HTTP_STATUS'],
  ]
  it.each(faults)('fails for %s and leaves nothing', async (_name, change, reason) => {
    const job = await download({
      ...change,
      url: change.url === undefined ? `${server.origin}/ok` : server.origin + change.url,
    })
    expect(reasonOf(job)).toBe(reason)
    expect(job).toMatchObject({ state: 'failed', phase: 'done' })
    expect(job.errorMessage).not.toMatch(/already|exists|not found/i)
    expect(await inTarget()).toEqual([])
    expect(agent.workers()).toEqual([])
  })

  it('gives up on a server that goes silent', async () => {
    await start({ settings: { stallTimeoutMs: 300 } })
    const job = await download({ url: `${server.origin}/silent` })
    expect(reasonOf(job)).toBe('DOWNLOAD_STALLED')
    expect(await inTarget()).toEqual([])
  })

  it('refuses a truncated qcow2 that came with a matching length', async () => {
    await using cut = await startImageServer(image.subarray(0, image.length - 512 * 1024))
    const job = await download({ url: `${cut.origin}/ok` })
    expect(reasonOf(job)).toBe('IMAGE_REFUSED')
    expect(await inTarget()).toEqual([])
  })

  it('asks for space before the first byte', async () => {
    await start({ poolFreeBytes: 1024 })
    const job = await download()
    expect(reasonOf(job)).toBe('POOL_FULL')
    expect(job.bytesDone).toBe(0)
    expect(await inTarget()).toEqual([])
  })

  it('leaves the pool some space when the length is not known', async () => {
    await mkdir(`${dir}/base`)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=64m', 'tmpfs', `${dir}/base`])
    try {
      await writeFile(`${dir}/base/other`, Buffer.alloc(59 * 1024 * 1024))
      const job = await download({ url: `${server.origin}/silentchunks`, poolId: '', targetDir: `${dir}/base` })
      expect(reasonOf(job)).toBe('POOL_FULL')
      expect(await readdir(`${dir}/base`)).toEqual(['other'])
    } finally {
      await run('umount', [`${dir}/base`])
    }
  })

  it('tells and shows no token of a URL', async () => {
    const url = `${server.origin}/ok?token=hunter2`
    const failed = await download({ url, checksum: 'sha256:' + '0'.repeat(64) })
    expect(failed.errorMessage).toContain('/ok')
    expect(failed.errorMessage).not.toContain('hunter2')
    await download({ url })
    expect((await stat(`${dir}/pool/cloud-images/.debian-12.qcow2.lqx.json`)).mode & 0o777).toBe(0o600)
  })

  it('refuses bad requests at once', async () => {
    const refused: [Partial<DownloadRequest>, string][] = [
      [{ targetDir: `${dir}/elsewhere` }, 'TARGET_REFUSED'],
      [{ targetDir: `${dir}/elsewhere`, poolId: '' }, 'TARGET_REFUSED'],
      [{ targetDir: `${dir}/pool/.limiquantix/volumes` }, 'TARGET_REFUSED'],
      [{ targetDir: `${dir}/pool/../elsewhere` }, 'INVALID_PATH'],
      [{ targetDir: 'pool' }, 'INVALID_PATH'],
      [{ targetDir: `${dir}/pool/a\0b` }, 'INVALID_PATH'],
      [{ url: 'file:///etc/passwd' }, 'SOURCE_REFUSED'],
      [{ checksum: 'md5:abc' }, 'CHECKSUM_INVALID'],
      [{ catalogId: '../../etc/cron.d/x' }, 'INVALID_NAME'],
      ...['../x', 'a/b', '..', '.hidden', 'a\nb', 'a\0b', 'x'.repeat(300), '-rf', 'a.lqxtmp', '<x>'].map(
        (filename): [Partial<DownloadRequest>, string] => [{ filename }, 'INVALID_NAME'],
      ),
    ]
    for (const [change, reason] of refused) {
      await expect(agent.images.download(request(change), signal), JSON.stringify(change)).rejects.toMatchObject({
        reason,
      })
    }
    expect(server.requests).toEqual([])
    expect(agent.images.jobs()).toEqual([])
  })

  it('does not follow a symbolic link out of the pool', async () => {
    await run('ln', ['-s', dir, `${dir}/pool/cloud-images`])
    const job = await download()
    expect(reasonOf(job)).toBe('TARGET_REFUSED')
    expect(existsSync(`${dir}/debian-12.qcow2`)).toBe(false)
  })

  describe('an image that is in place', () => {
    it('is a completed job at the first look, without a request', async () => {
      await download()
      await start({ settleMs: 60_000 })
      server.requests.length = 0
      const again = await agent.images.download(request({ checksum: sha256(image) }), signal)
      expect(again).toMatchObject({ state: 'completed', bytesDone: image.length, percent: 100 })
      expect(server.requests).toEqual([])
    })

    it('conflicts with another URL or checksum and is kept', async () => {
      const { targetPath } = await download()
      for (const change of [{ url: `${server.origin}/chunked` }, { checksum: '1'.repeat(64) }]) {
        const job = await download(change)
        expect(reasonOf(job)).toBe('IMAGE_CONFLICT')
        expect(job.errorMessage).not.toMatch(/already|exists|not found/i)
      }
      expect((await readFile(targetPath)).equals(image)).toBe(true)
    })

    it('of foreign make is taken when it is good and the checksum fits', async () => {
      await mkdir(`${dir}/pool/cloud-images`)
      await writeFile(`${dir}/pool/cloud-images/debian-12.qcow2`, image)
      expect(await download()).toMatchObject({ state: 'completed', bytesDone: image.length })
      expect(reasonOf(await download({ checksum: '1'.repeat(64) }))).toBe('IMAGE_CONFLICT')
      expect(await download({ checksum: sha256(image) })).toMatchObject({ state: 'completed' })
      expect(await readManifest(`${dir}/pool/cloud-images/debian-12.qcow2`)).toMatchObject({
        digests: { sha256: sha256(image) },
      })
      expect(server.requests).toEqual([])
    })

    it.each([
      ['text', () => Buffer.from('notes')],
      ['a partial image', () => image.subarray(0, image.length / 2)],
    ])('but is %s is a conflict and is kept', async (_name, content) => {
      await mkdir(`${dir}/pool/cloud-images`)
      await writeFile(`${dir}/pool/cloud-images/debian-12.qcow2`, content())
      expect(reasonOf(await download())).toBe('IMAGE_CONFLICT')
      expect((await readFile(`${dir}/pool/cloud-images/debian-12.qcow2`)).equals(content())).toBe(true)
    })

    it('and was changed since is judged anew', async () => {
      const { targetPath } = await download()
      await writeFile(targetPath, 'overwritten')
      expect(reasonOf(await download())).toBe('IMAGE_CONFLICT')
    })
  })

  it('serves two requests for one image by one job and one fetch', async () => {
    const url = `${server.origin}/paused`
    const [a, b] = await Promise.all([
      agent.images.download(request({ url }), signal),
      agent.images.download(request({ url }), signal),
    ])
    expect(b.jobId).toBe(a.jobId)
    await moving(a.jobId)
    server.release()
    expect(await finish(a)).toMatchObject({ state: 'completed' })
    expect(server.requests).toEqual(['/paused'])
  })

  it('ends at a cancel and leaves nothing', async () => {
    const job = await agent.images.download(request({ url: `${server.origin}/silent` }), signal)
    await moving(job.jobId)
    await agent.images.cancel(job.jobId, signal)
    expect(agent.images.job(job.jobId)).toMatchObject({ state: 'cancelled' })
    expect(await inTarget()).toEqual([])
    expect(agent.workers()).toEqual([])
    await expect(agent.images.cancel(job.jobId, signal)).rejects.toMatchObject({ reason: 'JOB_FINISHED' })
  })

  it('publishes nothing when the pool was lost before the end', async () => {
    const job = await agent.images.download(request({ url: `${server.origin}/paused` }), signal)
    await moving(job.jobId)
    await rm(`${dir}/pool/.limiquantix-pool.json`)
    server.release()
    await finish(job)
    expect(reasonOf(job)).toBe('POOL_IDENTITY_MISMATCH')
    expect(await inTarget()).toEqual([])
  })

  it('writes nothing into a pool whose marker is gone, and does not make its directory', async () => {
    await rm(`${dir}/pool/.limiquantix-pool.json`)
    const job = await download()
    expect(reasonOf(job)).toBe('POOL_IDENTITY_MISMATCH')
    expect(await readdir(`${dir}/pool`)).not.toContain('cloud-images')
    expect(server.requests).toEqual([])
  })

  it('survives the death of its worker with a clear error and no leftovers', async () => {
    const job = await agent.images.download(request({ url: `${server.origin}/silent` }), signal)
    await moving(job.jobId)
    for (const pid of agent.workers()) process.kill(pid, 'SIGKILL')
    await finish(job)
    expect(reasonOf(job)).toBe('WORKER_DIED')
    expect(await inTarget()).toEqual([])
  })

  it('goes on under the same job id after the agent was killed', async () => {
    const file = fileURLToPath(new URL('agent-process.ts', import.meta.url))
    const victim = fork(file, [dir, `${server.origin}/paused`, sha256(image)], { execArgv: [] })
    const [{ jobId }] = (await once(victim, 'message')) as [{ jobId: string }]
    expect((await inTarget()).join()).toMatch(/^\.lqx-.*\.lqxtmp$/)
    victim.kill('SIGKILL')
    await once(victim, 'exit')
    await start()
    await moving(jobId)
    server.release()
    await agent.operations.wait(jobId, signal)
    expect(agent.images.job(jobId)).toMatchObject({ state: 'completed', bytesDone: image.length })
    expect(await inTarget()).toEqual(published)
    expect(sha256(await readFile(`${dir}/pool/cloud-images/debian-12.qcow2`))).toBe(sha256(image))
  })

  it.skipIf(noRoot !== undefined)('reports a full disk and leaves nothing', async () => {
    await agent.operations.shutdown(0)
    await run('umount', [`${dir}/pool`]).catch(() => undefined)
    await rm(`${dir}/pool`, { recursive: true })
    await mkdir(`${dir}/pool`)
    await run('mount', ['-t', 'tmpfs', '-o', 'size=3m', 'tmpfs', `${dir}/pool`])
    try {
      await start()
      const job = await download()
      expect(reasonOf(job)).toBe('POOL_FULL')
      expect(await inTarget()).toEqual([])
    } finally {
      await run('umount', ['-l', `${dir}/pool`])
    }
  })

  it('has a manifest path beside the image that listings hide', () => {
    expect(manifestPath('/p/a.qcow2')).toBe('/p/.a.qcow2.lqx.json')
  })
})
