import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { openDownload, type FetchOptions } from '../../../src/platform/http-fetch.ts'
import type { ByteSink } from '../../../src/platform/direct-socket.ts'
import { rawDisk, startImageServer, type ImageServer } from './image-server.ts'

const image = rawDisk(3 * 1024 * 1024 + 512)
let server: ImageServer

beforeAll(async () => {
  server = await startImageServer(image)
})
afterAll(async () => server[Symbol.asyncDispose]())
afterEach(() => vi.unstubAllEnvs())

const options = (change: Partial<FetchOptions> = {}): FetchOptions => ({
  allowPrivateAddresses: true,
  allowDowngrade: false,
  connectTimeoutMs: 5_000,
  headersTimeoutMs: 5_000,
  signal: new AbortController().signal,
  ...change,
})

/** Keeps what it gets, in memory it offers in pieces of `pieceBytes`; full after `fullAfter` bytes until `drain`. */
class MemorySink implements ByteSink {
  onSpace: (() => void) | undefined
  bytes = Buffer.alloc(0)
  readonly #piece: Uint8Array
  #limit: number
  readonly filled = Promise.withResolvers<void>()

  constructor(pieceBytes: number, fullAfter = Infinity) {
    this.#piece = new Uint8Array(pieceBytes)
    this.#limit = fullAfter
  }
  space(): Uint8Array | undefined {
    if (this.bytes.length < this.#limit) return this.#piece
    this.filled.resolve()
    return undefined
  }
  advance(count: number): void {
    this.bytes = Buffer.concat([this.bytes, this.#piece.subarray(0, count)])
  }
  write(chunk: Uint8Array): boolean {
    this.bytes = Buffer.concat([this.bytes, chunk])
    return this.space() !== undefined
  }
  drain(): void {
    this.#limit = Infinity
    this.onSpace?.()
  }
}

async function fetchAll(path: string, sink = new MemorySink(100_000), change: Partial<FetchOptions> = {}) {
  const settings = options(change)
  const download = await openDownload(path.startsWith('http') ? path : server.origin + path, settings)
  const count = await download.receive(sink, settings.signal)
  return { download, count, sink }
}

describe('a body', () => {
  for (const path of ['/ok', '/chunked', '/unbounded', '/to?/ok']) {
    it(`arrives whole from ${path}`, async () => {
      const { count, sink } = await fetchAll(path)
      expect(count).toBe(image.length)
      expect(sink.bytes.equals(image)).toBe(true)
    })
  }

  it('arrives whole and in order through a sink that is full for a while', async () => {
    for (const fullAfter of [1, 70_000, 1_000_000]) {
      const sink = new MemorySink(65_536, fullAfter)
      const done = fetchAll('/ok', sink)
      await sink.filled.promise
      expect(sink.bytes.length).toBeLessThan(image.length)
      sink.drain()
      await done
      expect(sink.bytes.equals(image)).toBe(true)
    }
  })

  it('waits until it is taken', async () => {
    const settings = options()
    const download = await openDownload(`${server.origin}/ok`, settings)
    expect(download.contentLength).toBe(image.length)
    const sink = new MemorySink(65_536)
    await download.receive(sink, settings.signal)
    expect(sink.bytes.equals(image)).toBe(true)
  })

  it('is not asked for when it is given up before there is a connection', async () => {
    const stop = new AbortController()
    const opened = openDownload(`${server.origin}/ok`, options({ signal: stop.signal }))
    stop.abort(new Error('given up'))
    await expect(opened).rejects.toThrow('given up')
  })

  it('of no length ends at once', async () => {
    expect((await fetchAll('/empty')).count).toBe(0)
  })

  it('can be given up while it is silent', async () => {
    const stop = new AbortController()
    const sink = new MemorySink(65_536, 1000)
    const done = fetchAll('/silent', sink, { signal: stop.signal })
    await sink.filled.promise
    stop.abort(new Error('given up'))
    await expect(done).rejects.toThrow('given up')
  })
})

describe('a fault has its reason', () => {
  const cases: [path: string, reason: string, text: RegExp][] = [
    ['/404', 'DOWNLOAD_HTTP_STATUS', /status 404/],
    ['/500', 'DOWNLOAD_HTTP_STATUS', /status 500/],
    ['/encoded', 'DOWNLOAD_HTTP_STATUS', /encoding/],
    ['/loop', 'DOWNLOAD_HTTP_STATUS', /more than 10/],
    ['/nowhere', 'DOWNLOAD_HTTP_STATUS', /location/],
    ['/truncated', 'DOWNLOAD_TRUNCATED', new RegExp(`of ${image.length} bytes`)],
    ['/cutchunks', 'DOWNLOAD_TRUNCATED', /ended after/],
    ['/reset', 'DOWNLOAD_CONNECT', /ECONNRESET/],
    ['/to?ftp://mirror.example/a', 'URL_REFUSED', /only http and https/],
    ['http://127.0.0.1:1/a', 'DOWNLOAD_CONNECT', /ECONNREFUSED/],
  ]
  for (const [path, reason, text] of cases) {
    it(`${path}: ${reason}`, async () => {
      await expect(fetchAll(path)).rejects.toMatchObject({ reason, message: expect.stringMatching(text) as string })
    })
  }

  it('no answer: DOWNLOAD_STALLED', async () => {
    const wait = fetchAll('/mute', undefined, { headersTimeoutMs: 20 })
    await expect(wait).rejects.toMatchObject({ reason: 'DOWNLOAD_STALLED' })
  })
})

describe('the address guard', () => {
  const closed = { allowPrivateAddresses: false }
  const refused = { reason: 'URL_REFUSED' }

  it('refuses a literal address before anything is sent', async () => {
    const before = server.requests.length
    await expect(fetchAll('/ok', undefined, closed)).rejects.toMatchObject(refused)
    expect(server.requests.length).toBe(before)
  })

  it('refuses a name whose only answers are private', async () => {
    const resolve: FetchOptions['resolve'] = (_name, _options, done) =>
      done(null, [
        { address: '127.0.0.1', family: 4 },
        { address: 'fd00::1', family: 6 },
      ])
    const port = new URL(server.origin).port
    const wait = fetchAll(`http://mirror.example:${port}/ok`, undefined, { ...closed, resolve })
    await expect(wait).rejects.toMatchObject(refused)
  })

  it('holds for every hop of a redirect, also through a proxy', async () => {
    vi.stubEnv('http_proxy', server.origin)
    vi.stubEnv('no_proxy', '')
    const url = `http://mirror.example/to?http://169.254.169.254/latest/meta-data`
    await expect(fetchAll(url, undefined, closed)).rejects.toMatchObject(refused)
    expect(server.requests.at(-1)).toBe(url)
  })

  it('lets a public name through a private proxy', async () => {
    vi.stubEnv('http_proxy', server.origin)
    const { sink } = await fetchAll('http://mirror.example/ok', undefined, closed)
    expect(sink.bytes.equals(image)).toBe(true)
  })
})
