import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync } from 'node:fs'
import { mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { promisify } from 'node:util'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { DownloadJob, DownloadRequest } from '../../../src/core/model.ts'
import { rawDisk } from '../../unit/images/image-server.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'
import { fileSha256 } from './file-digest.ts'
import { madeContent, startOrigin, type Answer, type Asked, type Content, type Origin } from './origin.ts'
import { startTestAgent, type TestAgent, type TestAgentOptions } from './test-agent.ts'

const missing = await requirePrerequisite('image tools', missingCommand('qemu-img', 'xz'))
const MIB = 1024 * 1024
const SEGMENT = 4 * MIB
const CONNECTIONS = 4
/** What waits in memory for what comes before it. */
const WINDOW = CONNECTIONS * 2 * SEGMENT
const content = madeContent(40 * MIB + 3 * 512)
const other = madeContent(40 * MIB + 3 * 512, 2)
/** Slow enough for each connection that others join it. */
const slow: Answer = { bytesPerSecond: 16 * MIB }
const signal = new AbortController().signal
const busy = (retryAfter: string): Answer => ({
  raw: (response) => response.writeHead(503, { 'retry-after': retryAfter }).end('busy'),
})

describe.skipIf(missing !== undefined)('a download over several connections', () => {
  let directory: string
  let agent: TestAgent
  let origin: Origin
  let told: string[]

  const restart = async (settings: TestAgentOptions['settings'] = {}) => {
    await agent?.operations.shutdown(0)
    const note = (facts: object | string, text = '') => void told.push(`${text} ${JSON.stringify(facts)}`)
    const log = { ...silentLogger, warn: note, child: () => log }
    agent = await startTestAgent(directory, {
      settings: { stallTimeoutMs: 20_000, patienceMs: 30_000, ...settings },
      log,
    })
  }
  beforeEach(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-connections-'))
    told = []
    await restart()
    origin = await startOrigin(content)
  })
  afterEach(async () => {
    await agent.operations.shutdown(0)
    await origin[Symbol.asyncDispose]()
    await rm(directory, { recursive: true, force: true })
  })

  const start = (change: Partial<DownloadRequest> = {}): Promise<DownloadJob> =>
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
  const begin = (change: Partial<DownloadRequest> = {}) => start({ connections: CONNECTIONS, ...change })
  const ended = async ({ jobId }: DownloadJob): Promise<DownloadJob> => {
    await agent.operations.wait(jobId, signal)
    return agent.images.job(jobId)
  }
  const download = async (change: Partial<DownloadRequest> = {}) => ended(await begin(change))
  const leftovers = async () => (await readdir(`${directory}/pool`)).filter((name) => name.endsWith('.lqxtmp'))
  const expectWhole = async (job: DownloadJob, sha256 = content.sha256) => {
    expect(job).toMatchObject({ state: 'completed', errorMessage: '' })
    expect(await fileSha256(job.targetPath)).toBe(sha256)
    expect(await leftovers()).toEqual([])
    expect(agent.workers()).toEqual([])
  }
  const most = (from = origin) => Math.max(...from.asked.map(({ atOnce }) => atOnce))
  const ranges = () => origin.asked.map(({ range }) => range)
  /** Answers the first `count` requests in one way, later ones in another. */
  const turn = (count: number, first: Answer, later: Answer) => (_asked: Asked) =>
    origin.asked.length <= count ? first : later

  it('takes the rest in segments from a server that limits each connection, every byte once', async () => {
    origin.answer(slow)
    await expectWhole(await download())
    expect(most()).toBe(CONNECTIONS)
    expect(origin.connections().made).toBe(CONNECTIONS)
    const first = `bytes=0-${SEGMENT - 1}`
    expect(ranges().toSorted().slice(0, 1)).toEqual([first])
    expect(new Set(ranges()).size).toBe(Math.ceil(content.bytes / SEGMENT))
    const etag = `"${content.sha256.slice(0, 16)}"`
    expect(origin.asked.every(({ range, ifRange }) => ifRange === (range === first ? undefined : etag))).toBe(true)
    expect(origin.bytesServed()).toBeLessThan(content.bytes + 100_000)
    expect(told).toEqual([])
  })

  it('is what the request asks for, else the pool, else the host, else one', async () => {
    origin.answer(slow)
    const run = async (settings: TestAgentOptions['settings'], change: Partial<DownloadRequest>) => {
      await restart(settings)
      const before = origin.asked.length
      await expectWhole(await ended(await start(change)))
      await rm(`${directory}/pool/disk.img`)
      return Math.max(...origin.asked.slice(before).map(({ atOnce }) => atOnce))
    }
    expect(await run({}, {})).toBe(1)
    expect(ranges()).toEqual([undefined])
    expect(await run({ connections: 2 }, {})).toBe(2)
    expect(await run({ connections: 2, connectionsByPool: { 'pool-1': 3 } }, {})).toBe(3)
    expect(await run({ connections: 2, connectionsByPool: { 'pool-1': 3 } }, { connections: 1 })).toBe(1)
    for (const connections of [0, 9, 1.5]) {
      await expect(begin({ connections })).rejects.toMatchObject({ reason: 'INVALID_REQUEST' })
    }
  })

  it.each(['close', 'reset'] as const)('goes on after a %s of any connection with its segment alone', async (by) => {
    let state = 7
    const random = () => (state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0) / 2 ** 32
    origin.answer(() => (random() < 0.4 ? { ...slow, stopAt: { bytes: Math.floor(random() * SEGMENT), by } } : slow))
    await expectWhole(await download())
    expect(told.join()).toContain('tried again')
    expect(told.join()).not.toContain('one connection')
    expect(most()).toBeGreaterThan(1)
    // What was not read yet goes with a reset.
    if (by === 'close') expect(origin.bytesServed()).toBeLessThan(content.bytes + 200_000)
  })

  it('gives up a connection that says nothing', async () => {
    await restart({ stallTimeoutMs: 6_000 })
    origin.answer(() => (origin.asked.length === 6 ? { stopAt: { bytes: MIB, by: 'silence' } } : slow))
    await expectWhole(await download())
    expect(told.join()).toContain('no byte arrived')
    // Those that wait for it go on with the rest of its segment: nothing is fetched twice.
    const [from, to] = ranges()[5]?.match(/\d+/g)?.map(Number) ?? []
    expect(ranges()).toContain(`bytes=${(from ?? 0) + MIB}-${to}`)
    expect(told.join()).toContain('going on with fewer')
  })

  it('fetches what it put together from unlike servers behind one address once more', async () => {
    const etag = `"${content.sha256.slice(0, 16)}"`
    const unlike: Answer = { ...slow, content: other, etag, headers: { etag: '' } }
    origin.answer(({ range }) => (range?.startsWith(`bytes=${2 * SEGMENT}-`) === true ? unlike : slow))
    await expectWhole(await download({ checksum: `sha256:${content.sha256}` }))
    expect(told.join()).toContain('beginning at the first byte again')
    expect(ranges().at(-1)).toBeUndefined()
  })

  it.each([
    ['ignores the end of ranges', ({ range }: Asked): Answer => (/-\d+$/.test(range ?? '') ? { noRanges: true } : {})],
    ['sends everything from then on', (): Answer => ({ noRanges: true })],
    ['lies about the part', (): Answer => ({ contentRange: (_from, total) => `bytes 0-${SEGMENT - 1}/${total}` })],
    [
      'lies about the size',
      (): Answer => ({ contentRange: (from) => `bytes ${from}-${from + SEGMENT - 1}/999999999` }),
    ],
    ['sends parts of another content', (): Answer => ({ headers: { etag: '"another"' } })],
    ['refuses parts', ({ range }: Asked): Answer => (/-\d+$/.test(range ?? '') ? { status: 403 } : {})],
    ['sends nothing in parts', ({ range }: Asked): Answer => (/-\d+$/.test(range ?? '') ? { announce: 0 } : {})],
  ])('goes on with one connection when a later answer %s', async (_what, later) => {
    origin.answer((asked) => (origin.asked.length <= 6 ? slow : later(asked)))
    await expectWhole(await download())
    expect(told.join()).toMatch(/going on with one connection/)
    expect(origin.asked.at(-1)?.range ?? '').not.toMatch(/-\d+$/)
  })

  it('never mixes two contents: one that changes is fetched from the first byte again', async () => {
    origin.answer(turn(9, slow, { ...slow, content: other }))
    await expectWhole(await download(), other.sha256)
    expect(told.join()).toContain('the content changed on the server')
  })

  it('takes no more connections than the server serves, and does not wait for the others', async () => {
    origin.answer(({ atOnce }) => (atOnce > 2 ? busy('3600') : slow))
    await expectWhole(await download())
    expect(told.filter((line) => line.includes('going on with fewer')).at(-1)).toContain('"connections":2')
    expect(origin.asked.filter(({ atOnce }) => atOnce > 2).length).toBeLessThanOrEqual(2)
    expect(most()).toBeGreaterThan(1)
  })

  it('waits as long as a server that refuses all connections asks', async () => {
    let refusals = 0
    origin.answer(() => (origin.asked.length > 6 && refusals++ < 4 ? busy('1') : slow))
    await expectWhole(await download())
    expect(told.filter((line) => line.includes('tried again') && line.includes('503'))).not.toEqual([])
  })

  it.each([
    ['parts', { noRanges: true }, 'the server does not send parts', 1],
    ['validators', { etag: false }, 'nothing tells whether parts are of the same content', 2],
    ['a size', { contentRange: (from: number) => `bytes ${from}-${from + SEGMENT - 1}/*` }, 'how much there is', 2],
  ] satisfies [string, Answer, string, number][])(
    'stays with one connection to a server without %s, and says why',
    async (_what, answer, why, requests) => {
      origin.answer({ ...answer })
      await expectWhole(await download())
      expect(told.join()).toContain(why)
      expect(most()).toBe(1)
      expect(origin.asked).toHaveLength(requests)
    },
  )

  it.each([0, 512, SEGMENT - 512, SEGMENT, SEGMENT + 512])('ends well with content of %d bytes', async (bytes) => {
    const small = madeContent(bytes)
    origin.answer({ content: small })
    const job = await download()
    if (bytes === 0) expect(job).toMatchObject({ state: 'failed', errorMessage: expect.stringMatching(/image|bytes/) })
    else await expectWhole(job, small.sha256)
    expect(await leftovers()).toEqual([])
  })

  it('holds the rate of the job over all connections', async () => {
    const rate = 16 * MIB
    await agent.bandwidth.setLimits({ hostBytesPerSecond: rate, pools: {} })
    const started = performance.now()
    await expectWhole(await download())
    // A slower machine takes longer.
    expect(performance.now() - started).toBeGreaterThan((0.8 * 1000 * content.bytes) / rate)
    expect(origin.connections().made).toBe(CONNECTIONS)
  })

  it('ends every connection when it is cancelled', async () => {
    origin.answer({ bytesPerSecond: MIB })
    const job = await begin()
    await expect.poll(() => origin.connections().open, { timeout: 30_000 }).toBe(CONNECTIONS)
    await agent.images.cancel(job.jobId, signal)
    expect(await ended(job)).toMatchObject({ state: 'cancelled' })
    await expect.poll(() => origin.connections().open, { timeout: 30_000 }).toBe(0)
    expect(await leftovers()).toEqual([])
    expect(existsSync(job.targetPath)).toBe(false)
  })

  it('sends credentials with every request to the server of the url, and to no other', async () => {
    await using elsewhere = await startOrigin(content)
    elsewhere.answer(slow)
    origin.answer(slow)
    const credentials = { token: 'secret' }
    await expectWhole(await download({ filename: 'a.img', credentials }))
    expect(new Set(origin.asked.map(({ authorization }) => authorization))).toEqual(new Set(['Bearer secret']))
    origin.answer({ raw: (response) => response.writeHead(302, { location: elsewhere.url }).end() })
    await expectWhole(await download({ filename: 'b.img', credentials }))
    expect(most(elsewhere)).toBe(CONNECTIONS)
    expect(new Set(elsewhere.asked.map(({ authorization }) => authorization))).toEqual(new Set([undefined]))
  })

  it('asks the url again when the link that it led to has expired, and has several connections again', async () => {
    await using elsewhere = await startOrigin(content)
    let link = 0
    origin.answer({
      raw: (response) => response.writeHead(302, { location: `${elsewhere.url}?link=${++link}` }).end(),
    })
    let served = 0
    elsewhere.answer(({ url }) => (url.endsWith('link=1') && ++served > 5 ? { status: 403 } : slow))
    await expectWhole(await download())
    expect(link).toBe(2)
    const second = elsewhere.asked.filter(({ url }) => url.endsWith('link=2'))
    expect(Math.max(...second.map(({ atOnce }) => atOnce))).toBe(CONNECTIONS)
    expect(told.join()).not.toContain('one connection')
  })

  it('goes on from a mirror behind the bytes of a server that has gone', async () => {
    await using mirror = await startOrigin(content)
    mirror.answer(slow)
    origin.answer(turn(5, slow, { raw: (response) => response.socket?.resetAndDestroy() }))
    await expectWhole(await download({ mirrors: [mirror.url], checksum: `sha256:${content.sha256}` }))
    expect(mirror.asked[0]?.range).not.toBe(`bytes=0-${SEGMENT - 1}`)
    expect(most(mirror)).toBe(CONNECTIONS)
    expect(origin.bytesServed() + mirror.bytesServed()).toBeLessThan(content.bytes + WINDOW + 10 * MIB)
  })

  it('unwraps while it receives', async () => {
    const disk = rawDisk(24 * MIB)
    await writeFile(`${directory}/disk.raw`, disk)
    await promisify(execFile)('xz', ['-0', `${directory}/disk.raw`])
    const packed = contentOf(await readFile(`${directory}/disk.raw.xz`))
    expect(packed.bytes).toBeGreaterThan(2 * SEGMENT)
    origin.answer({ ...slow, content: packed })
    const image = createHash('sha256').update(disk).digest('hex')
    const job = await download({
      url: `${origin.origin}/disk.raw.xz`,
      filename: 'disk.raw',
      checksum: `sha256:${packed.sha256}`,
      finalChecksum: `sha256:${image}`,
    })
    await expectWhole(job, image)
    expect(most()).toBeGreaterThan(1)
  })
})

function contentOf(bytes: Buffer): Content {
  return {
    bytes: bytes.length,
    sha256: createHash('sha256').update(bytes).digest('hex'),
    read: (from, to) => bytes.subarray(from, to),
  }
}
