import { execFile } from 'node:child_process'
import { mkdtemp, readdir, readFile, rm, stat } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DownloadJob, DownloadRequest } from '../../../src/core/model.ts'
import { startImageServer } from '../../unit/images/image-server.ts'
import { until } from '../../support/until.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { fileSha256 } from './file-digest.ts'
import { madeContent, startOrigin, type Answer, type Origin } from './origin.ts'
import { startTestAgent, type TestAgent, type TestAgentOptions } from './test-agent.ts'

const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))
const run = promisify(execFile)
const MIB = 1024 * 1024
const content = madeContent(12 * MIB)
const other = madeContent(12 * MIB, 2)
const HALF = content.bytes / 2
const signal = new AbortController().signal
const half: Answer = { stopAt: { bytes: HALF, by: 'close' } }
const gone: Answer = { raw: (response) => response.writeHead(404).end('gone') }

describe.skipIf(missing !== undefined)('sources of an image', () => {
  let directory: string
  let agent: TestAgent
  let origin: Origin
  let mirror: Origin

  const start = async (settings: TestAgentOptions['settings'] = {}) => {
    agent = await startTestAgent(directory, { settings: { stallTimeoutMs: 5_000, patienceMs: 12_000, ...settings } })
  }
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-sources-'))
    origin = await startOrigin(content)
    mirror = await startOrigin(content)
    await start()
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await origin[Symbol.asyncDispose]()
    await mirror[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  const begin = (change: Partial<DownloadRequest> = {}) =>
    agent.images.download(
      {
        imageId: 'image-1',
        catalogId: '',
        url: origin.url,
        targetDir: `${directory}/pool`,
        filename: '',
        poolId: 'pool-1',
        checksum: '',
        checksumType: '',
        ...change,
      },
      signal,
    )
  const ended = async ({ jobId }: DownloadJob) => {
    const { error } = await agent.operations.wait(jobId, signal)
    return { ...agent.images.job(jobId), reason: error?.reason }
  }
  const download = async (change: Partial<DownloadRequest> = {}) => ended(await begin(change))
  const expectWhole = async (job: DownloadJob, sha256 = content.sha256) => {
    expect(job).toMatchObject({ state: 'completed', errorMessage: '' })
    expect(await fileSha256(job.targetPath)).toBe(sha256)
  }
  const leftovers = async () => (await readdir(`${directory}/pool`)).filter((name) => name.startsWith('.lqx-'))

  describe('mirrors', () => {
    it('are asked when the URL has nothing, and not before', async () => {
      await expectWhole(await download({ mirrors: [mirror.url], filename: 'a.img' }))
      expect(mirror.asked).toEqual([])
      origin.answer(gone)
      await expectWhole(await download({ mirrors: [mirror.url], filename: 'b.img' }))
      expect(mirror.asked.length).toBe(1)
    })

    it('go on where the URL broke off when a checksum proves the whole', async () => {
      origin.answer(half, gone)
      await expectWhole(await download({ mirrors: [mirror.url], checksum: content.sha256 }))
      expect(mirror.asked).toMatchObject([{ range: `bytes=${HALF}-`, ifRange: undefined }])
    })

    it('begin anew when nothing proves that they have the same bytes', async () => {
      origin.answer(half, gone)
      mirror.answer({ content: other })
      await expectWhole(await download({ mirrors: [mirror.url] }), other.sha256)
      expect(mirror.asked).toMatchObject([{ range: undefined }])
    })

    it('with other bytes than the checksum says are left, also when they came last', async () => {
      origin.answer(half, gone)
      mirror.answer({ content: other })
      await using third = await startOrigin(content)
      await expectWhole(await download({ mirrors: [mirror.url, third.url], checksum: content.sha256 }))
      expect(third.asked.length).toBe(1)
    })

    it('that all fail give the error of the URL', async () => {
      origin.answer(gone)
      mirror.answer({ raw: (response) => response.writeHead(403).end() })
      const job = await download({ mirrors: [mirror.url] })
      expect(job).toMatchObject({ state: 'failed', reason: 'DOWNLOAD_HTTP_STATUS' })
      expect(job.errorMessage).toContain('404')
    })

    it('are checked as the URL is', async () => {
      await expect(begin({ mirrors: ['file:///etc/passwd'] })).rejects.toMatchObject({ reason: 'URL_REFUSED' })
      const many = Array.from({ length: 17 }, () => mirror.url)
      await expect(begin({ mirrors: many })).rejects.toMatchObject({ reason: 'INVALID_REQUEST' })
    })
  })

  it('that redirects lead to goes on itself, and the URL is asked again when it does not', async () => {
    const redirect: Answer = {
      raw: (response) => response.writeHead(302, { location: `${mirror.url}?signed=1` }).end(),
    }
    origin.answer(redirect)
    mirror.answer(half, {})
    await expectWhole(await download({ filename: 'a.img' }))
    expect([origin.asked.length, mirror.asked.length]).toEqual([1, 2])
    // As a link that has expired.
    mirror.answer(half, { raw: (response) => response.writeHead(403).end() }, {})
    await expectWhole(await download({ filename: 'b.img' }))
    expect([origin.asked.length, mirror.asked.length]).toEqual([3, 5])
  })

  describe('credentials', () => {
    const secret = 'hunter2-correct-horse'
    const guarded = (value: string): Answer => ({
      raw(response, request) {
        if (request.headers.authorization !== value) response.writeHead(401).end()
        else response.writeHead(200, { 'content-length': content.bytes }).end(content.read(0, content.bytes))
      },
    })
    // It fails when there is none, and also when a file that it has listed is gone before it reads it: the job writes others meanwhile.
    const kept = async () =>
      (await run('grep', ['-rl', secret, directory]).catch((error: { stdout: string }) => error)).stdout
    const basic = `Basic ${Buffer.from(`robot:${secret}`).toString('base64')}`

    it('open the server, and are nowhere afterwards', async () => {
      origin.answer(guarded(basic))
      await expectWhole(await download({ credentials: { username: 'robot', password: secret }, filename: 'a.img' }))
      origin.answer(guarded(`Bearer ${secret}`))
      await expectWhole(await download({ credentials: { token: secret }, filename: 'b.img' }))
      expect(await kept()).toBe('')
    })

    it('are for root alone while they are needed, and in no record of the job', async () => {
      origin.answer({ bytesPerSecond: MIB })
      const { jobId } = await begin({ credentials: { token: secret } })
      const files = (await kept()).split('\n').filter(Boolean)
      expect(files.length).toBe(1)
      expect(files[0]).toContain('/state/image-credentials/')
      expect((await stat(files[0] ?? '')).mode & 0o777).toBe(0o600)
      expect(JSON.stringify(agent.operations.get(jobId))).not.toContain(secret)
      await agent.images.cancel(jobId, signal)
      await start()
      expect(await readFile(`${directory}/state/operations/${jobId}.json`, 'utf8')).not.toContain(secret)
    })

    it('are not sent to where redirects lead, nor to mirrors', async () => {
      origin.answer({ raw: (response) => response.writeHead(302, { location: mirror.url }).end() })
      await expectWhole(await download({ credentials: { token: secret }, filename: 'a.img' }))
      origin.answer(gone)
      await expectWhole(await download({ credentials: { token: secret }, mirrors: [mirror.url], filename: 'b.img' }))
      expect(origin.asked.map(({ authorization }) => authorization)).toEqual([`Bearer ${secret}`, `Bearer ${secret}`])
      expect(mirror.asked.map(({ authorization }) => authorization)).toEqual([undefined, undefined])
    })

    it('that are wrong fail at once without being told', async () => {
      origin.answer(guarded(basic))
      const job = await download({ credentials: { token: secret } })
      expect(job).toMatchObject({ state: 'failed', reason: 'DOWNLOAD_HTTP_STATUS' })
      expect(job.errorMessage).toMatch(/401/)
      expect(job.errorMessage).not.toContain(secret)
      expect(origin.asked.length).toBe(1)
    })

    it('that would break out of a header are refused', async () => {
      for (const token of ['a\r\nX-Evil: 1', '', 'a b']) {
        await expect(begin({ credentials: { token } })).rejects.toMatchObject({ reason: 'INVALID_REQUEST' })
      }
    })
  })

  it('are reached through the proxy of the configuration, but for those that need none', async () => {
    await using proxy = await startImageServer(content.read(0, content.bytes))
    await start({ network: { proxy: proxy.origin } })
    await expectWhole(await download({ url: 'http://mirror.example/ok' }))
    expect(proxy.requests).toEqual(['http://mirror.example/ok'])
    await start({ network: { proxy: proxy.origin, noProxy: '127.0.0.1' } })
    await expectWhole(await download({ filename: 'b.img' }))
    expect(proxy.requests.length).toBe(1)
  })

  it('are asked once for ten requests at the same time', async () => {
    origin.answer({ bytesPerSecond: 8 * MIB })
    const jobs = await Promise.all(Array.from({ length: 10 }, () => begin()))
    expect(new Set(jobs.map(({ jobId }) => jobId)).size).toBe(1)
    const checked = await Promise.all(Array.from({ length: 5 }, () => begin({ checksum: content.sha256 })))
    for (const job of [...jobs, ...checked]) await expectWhole(await ended(job))
    expect(origin.asked.length).toBe(1)
    expect(origin.bytesServed()).toBeLessThan(content.bytes + 10_000)
  })

  it('are left at a cancellation, in every phase, and nothing stays', async () => {
    const busy: Answer = { raw: (response) => response.writeHead(503).end() }
    const phases: [Answer, (job: DownloadJob) => boolean][] = [
      [{ raw: () => undefined }, () => origin.asked.length > 0],
      [busy, () => origin.asked.length > 1],
      [{ bytesPerSecond: MIB }, ({ bytesDone }) => bytesDone > 0],
      [half, () => origin.asked.length > 0],
    ]
    for (const [index, [answer, reached]] of phases.entries()) {
      ;(origin.asked as unknown[]).length = 0
      origin.answer(answer, busy)
      if (index < 3) origin.answer(answer)
      const { jobId } = await begin({ filename: `cancelled-${index}.img` })
      await until(() => Promise.resolve(reached(agent.images.job(jobId))))
      // None of these would end by itself.
      await agent.images.cancel(jobId, signal)
      expect(agent.images.job(jobId).state).toBe('cancelled')
      expect(await leftovers()).toEqual([])
      expect(agent.workers()).toEqual([])
    }
  })

  it('give no more than the limits of job and host, which change while it runs', async () => {
    const rate = 512 * 1024
    const rateOf = async (jobId: string, ms: number) => {
      const [before, began] = [agent.images.job(jobId).bytesDone, performance.now()]
      await pause(ms)
      const seconds = (performance.now() - began) / 1000
      return (agent.images.job(jobId).bytesDone - before) / seconds
    }
    await agent.bandwidth.setLimits({ hostBytesPerSecond: 2 * rate, pools: {} })
    const one = await begin({ filename: '1.img' })
    const two = await begin({ filename: '2.img', url: mirror.url })
    await until(() => Promise.resolve(agent.images.job(two.jobId).bytesDone > 0))
    const both = await Promise.all([rateOf(one.jobId, 6_000), rateOf(two.jobId, 6_000)])
    // What is told of progress may be old on a slow machine; without a limit everything would be here.
    expect(both[0] + both[1]).toBeLessThan(2 * rate * 1.5)
    for (const each of both) expect(each).toBeGreaterThan(rate * 0.25)
    await agent.bandwidth.limitJob(one.jobId, 64 * 1024)
    await agent.bandwidth.setLimits({ hostBytesPerSecond: 0, pools: {} })
    await expectWhole(await ended(two))
    expect(agent.images.job(one.jobId)).toMatchObject({ state: 'running' })
    await agent.bandwidth.limitJob(one.jobId, 0)
    await expectWhole(await ended(one))
  })

  it('wait for each other as the limits of host and server say', async () => {
    await start({ maxConcurrent: 2, maxPerServer: 1 })
    // The first is not through before the third is.
    origin.answer({ bytesPerSecond: MIB / 4 })
    const first = await begin({ filename: '1.img' })
    const second = await begin({ filename: '2.img' })
    await expectWhole(await download({ url: mirror.url, filename: '3.img' }))
    expect(origin.asked.length).toBe(1)
    await agent.images.cancel(first.jobId, signal)
    await until(() => Promise.resolve(origin.asked.length === 2))
    await agent.images.cancel(second.jobId, signal)
  })
})
