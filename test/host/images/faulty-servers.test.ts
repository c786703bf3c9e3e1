import { existsSync } from 'node:fs'
import { mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import type { DownloadJob, DownloadRequest } from '../../../src/core/model.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { fileSha256 } from './file-digest.ts'
import { madeContent, startOrigin, type Answer, type Origin } from './origin.ts'
import { startTestAgent, type TestAgent } from './test-agent.ts'

const missing = await requirePrerequisite('qemu-img', missingCommand('qemu-img'))
const MIB = 1024 * 1024
const content = madeContent(24 * MIB)
const other = madeContent(24 * MIB, 2)
const third = madeContent(24 * MIB, 3)
const longer = madeContent(30 * MIB, 4)
const HALF = content.bytes / 2
const signal = new AbortController().signal

const html: Answer = {
  raw: (response) =>
    response.writeHead(200, { 'content-type': 'text/html' }).end('<!DOCTYPE html><html>Sign in</html>'),
}
const loop: Answer = { raw: (response) => response.writeHead(302, { location: '/disk.img' }).end() }
const busy = (retryAfter?: string): Answer => ({
  raw: (response) => response.writeHead(503, retryAfter === undefined ? {} : { 'retry-after': retryAfter }).end('busy'),
})
const missingPage: Answer = { raw: (response) => response.writeHead(404).end('gone') }
const brokenAt = (bytes: number): Answer => ({ stopAt: { bytes, by: 'close' } })

describe.skipIf(missing !== undefined)('a server that misbehaves', () => {
  let directory: string
  let agent: TestAgent
  let origin: Origin
  /** Short only where silence is waited for: on a slow machine an answer may take longer, which would be another fault. */
  let stallTimeoutMs: number

  const start = async (patienceMs: number) => {
    agent = await startTestAgent(directory, { settings: { stallTimeoutMs, patienceMs } })
  }
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-faulty-'))
    stallTimeoutMs = 20_000
    await start(12_000)
    origin = await startOrigin(content)
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await origin[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  const download = async (change: Partial<DownloadRequest> = {}): Promise<DownloadJob & { reason?: string }> => {
    const request = {
      imageId: 'image-1',
      catalogId: '',
      url: origin.url,
      targetDir: `${directory}/pool`,
      filename: '',
      poolId: 'pool-1',
      checksum: '',
      checksumType: '',
      ...change,
    }
    const { jobId } = await agent.images.download(request, signal)
    const { error } = await agent.operations.wait(jobId, signal)
    return { ...agent.images.job(jobId), ...(error === undefined ? {} : { reason: error.reason }) }
  }
  const impatient = () => start(2_000)
  const leftovers = async () => (await readdir(`${directory}/pool`)).filter((name) => name.includes('lqx-'))
  /** The image is there, whole, and nothing beside it. */
  const expectWhole = async (job: DownloadJob, sha256 = content.sha256) => {
    expect(job).toMatchObject({ state: 'completed', errorMessage: '' })
    expect(await fileSha256(job.targetPath)).toBe(sha256)
    expect((await leftovers()).filter((name) => name !== '.limiquantix-pool.json')).toEqual([])
    expect(agent.workers()).toEqual([])
  }
  const expectNothing = async (job: DownloadJob & { reason?: string }, reason: string) => {
    expect(job).toMatchObject({ state: 'failed', reason })
    expect(job.errorMessage).not.toMatch(/already|exists|not found/i)
    expect(existsSync(job.targetPath)).toBe(false)
    expect(await leftovers()).toEqual([])
    expect(agent.workers()).toEqual([])
  }
  const ranges = () => origin.asked.map(({ range }) => range)

  describe.each(['reset', 'close', 'silence'] as const)('%s', (by) => {
    beforeEach(async () => {
      if (by !== 'silence') return
      stallTimeoutMs = 1_500
      await start(12_000)
    })
    const beforeHeaders: Answer = {
      raw: (response) => {
        if (by === 'close') response.socket?.end()
        else if (by === 'reset') response.socket?.resetAndDestroy()
      },
    }
    it.each([
      ['before the headers', beforeHeaders, 0],
      ['at the first byte', { stopAt: { bytes: 0, by } }, 0],
      ['behind the first byte', { stopAt: { bytes: 1, by } }, 1],
      ['in the middle', { stopAt: { bytes: HALF + 17, by } }, HALF + 17],
      ['before the last byte', { stopAt: { bytes: content.bytes - 1, by } }, content.bytes - 1],
    ] satisfies [string, Answer, number][])('%s: the rest is fetched and nothing twice', async (_phase, fault, got) => {
      origin.answer(fault, {})
      await expectWhole(await download())
      const [first, second] = ranges()
      expect(first).toBeUndefined()
      // What was not read yet goes with a reset.
      if (by !== 'reset') expect(second).toBe(got === 0 ? undefined : `bytes=${got}-`)
      expect(origin.bytesServed()).toBeLessThan(content.bytes + (by === 'reset' ? 8 * MIB : 100_000))
    })

    it('also on resuming, again and again', async () => {
      origin.answer(brokenAt(HALF), beforeHeaders, { stopAt: { bytes: 0, by } }, { stopAt: { bytes: 1000, by } }, {})
      await expectWhole(await download())
      const rest = [`bytes=${HALF}-`, `bytes=${HALF}-`, `bytes=${HALF}-`, `bytes=${HALF + 1000}-`]
      expect(ranges()).toEqual([undefined, ...rest])
      expect(origin.bytesServed()).toBeLessThan(content.bytes + 100_000)
    })

    it('for ever: fails with the reason when patience is over', async () => {
      await impatient()
      origin.answer(brokenAt(HALF), beforeHeaders)
      await expectNothing(await download(), by === 'silence' ? 'DOWNLOAD_STALLED' : 'DOWNLOAD_CONNECT')
    })
  })

  it('asks for the rest only of the same content, by ETag or else by date', async () => {
    const date = new Date(Date.now() - 60_000).toUTCString()
    origin.answer(brokenAt(HALF), {})
    await expectWhole(await download({ filename: 'a.img' }))
    expect(origin.asked.at(-1)?.ifRange).toBe(`"${content.sha256.slice(0, 16)}"`)
    for (const etag of [false, 'W/"weak"'] as const) {
      origin.answer({ ...brokenAt(HALF), etag, lastModified: date }, { etag, lastModified: date })
      await expectWhole(await download({ filename: `b-${String(etag).length}.img` }))
      expect(origin.asked.at(-1)).toMatchObject({ ifRange: date, range: `bytes=${HALF}-` })
    }
  })

  it('joins no parts of what nothing identifies, unless a checksum proves the whole', async () => {
    // A change within the second of the answer would not show.
    const now = new Date(Date.now() + 60_000).toUTCString()
    origin.answer({ ...brokenAt(HALF), etag: false, lastModified: now }, { etag: false, lastModified: now })
    await expectWhole(await download({ filename: 'a.img' }))
    expect(ranges()).toEqual([undefined, undefined])
    origin.answer({ ...brokenAt(HALF), etag: false }, { etag: false })
    await expectWhole(await download({ filename: 'b.img', checksum: content.sha256 }))
    expect(origin.asked.at(-1)).toMatchObject({ ifRange: undefined, range: `bytes=${HALF}-` })
  })

  it('goes on with a body of unknown length', async () => {
    origin.answer({ chunked: true, stopAt: { bytes: HALF, by: 'close' } }, { chunked: true })
    await expectWhole(await download())
    expect(ranges()).toEqual([undefined, `bytes=${HALF}-`])
  })

  const mended: [name: string, answers: Answer[], sha256: string, checksum: string][] = [
    ['ignores Range', [brokenAt(HALF), { noRanges: true }], content.sha256, ''],
    ['changes its content once', [brokenAt(HALF), { content: other }], other.sha256, ''],
    ['changes its content to a longer one', [brokenAt(HALF), { content: longer }], longer.sha256, ''],
    [
      'changes its content under one ETag and length',
      [brokenAt(HALF), { content: other, etag: `"${content.sha256.slice(0, 16)}"` }],
      other.sha256,
      other.sha256,
    ],
    [
      'announces more than it has',
      [{ announce: content.bytes + 1024, stopAt: { bytes: Infinity, by: 'close' } }, {}],
      content.sha256,
      '',
    ],
    [
      'sends a part from elsewhere',
      [brokenAt(HALF), { contentRange: (_from, total) => `bytes 0-${total - 1}/${total}` }, {}],
      content.sha256,
      '',
    ],
    [
      'sends a part that ends behind the content',
      [brokenAt(HALF), { contentRange: (from, total) => `bytes ${from}-${total}/${total}` }, {}],
      content.sha256,
      '',
    ],
    [
      'sends a part of another length',
      [
        brokenAt(HALF),
        { contentRange: (from, total) => `bytes ${from}-${total + 9}/${total + 10}`, announce: HALF + 10 },
        {},
      ],
      content.sha256,
      '',
    ],
    ['sends a part without Content-Range', [brokenAt(HALF), { contentRange: () => '' }, {}], content.sha256, ''],
    [
      'sends many short parts',
      [
        brokenAt(HALF),
        ...[1, 2, 3].map((mib): Answer => ({
          announce: mib * MIB,
          contentRange: (from, total) => `bytes ${from}-${from + mib * MIB - 1}/${total}`,
        })),
        {},
      ],
      content.sha256,
      '',
    ],
    ['is busy', [busy(), {}], content.sha256, ''],
    ['is busy on resuming', [brokenAt(HALF), busy(), {}], content.sha256, ''],
    ['shows a login page on resuming', [brokenAt(HALF), html, {}], content.sha256, ''],
  ]
  it.each(mended)('that %s never gives a mixed file', async (_name, answers, sha256, checksum) => {
    origin.answer(...answers)
    await expectWhole(await download({ checksum }), sha256)
  })

  it('waits as long as Retry-After says', async () => {
    origin.answer(busy('1'), {})
    const started = performance.now()
    await expectWhole(await download())
    expect(performance.now() - started).toBeGreaterThan(1000)
  })

  const ended: [name: string, answers: Answer[], reason: string, checksum: string][] = [
    [
      'changes its content again and again',
      [brokenAt(HALF), { content: other, ...brokenAt(HALF) }, { content: third }],
      'DOWNLOAD_CHANGED',
      '',
    ],
    ['breaks off and sends no parts', [{ ...brokenAt(HALF), noRanges: true }], 'DOWNLOAD_TRUNCATED', ''],
    ['announces less than it has', [{ announce: content.bytes - 512 }], 'CHECKSUM_MISMATCH', content.sha256],
    ['is busy for longer than patience', [busy('3600')], 'DOWNLOAD_HTTP_STATUS', ''],
    ['is always busy', [busy()], 'DOWNLOAD_HTTP_STATUS', ''],
    ['redirects in a circle', [loop], 'DOWNLOAD_HTTP_STATUS', ''],
    ['shows a login page', [html], 'IMAGE_NOT_AN_IMAGE', ''],
    ['has nothing there any more on resuming', [brokenAt(HALF), missingPage], 'DOWNLOAD_HTTP_STATUS', ''],
  ]
  it.each(ended)('that %s ends the job with its reason', async (_name, answers, reason, checksum) => {
    await impatient()
    origin.answer(...answers)
    await expectNothing(await download({ checksum }), reason)
  })

  it('asks once where nothing can come of asking again', async () => {
    for (const answer of [missingPage, loop, html, busy('3600')]) {
      const before = origin.asked.filter(({ url }) => url === '/disk.img').length
      origin.answer(answer)
      await download()
      const asked = origin.asked.length - before
      expect(asked).toBe(answer === loop ? 11 : 1)
    }
  })

  it('that drips is waited for', async () => {
    const drop = madeContent(MIB)
    origin.answer({ content: drop, bytesPerSecond: 512 * 1024 })
    await expectWhole(await download(), drop.sha256)
  })

  it('that is gone for a while and comes back on its port goes on', async () => {
    origin.answer({ ...brokenAt(HALF), headers: { connection: 'close' } })
    const port = Number(new URL(origin.url).port)
    const job = download()
    await expect.poll(() => origin.asked.length, { timeout: 20_000 }).toBe(1)
    await origin[Symbol.asyncDispose]()
    origin = await startOrigin(content, port)
    await expectWhole(await job)
    expect(ranges()).toEqual([expect.stringMatching(/^bytes=[1-9]\d*-$/)])
  })
})
