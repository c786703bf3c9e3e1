import type { ServerResponse } from 'node:http'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import { ImageSource, SEGMENT_BYTES } from '../../../src/images/image-source.ts'
import { TokenBucket } from '../../../src/images/paced-sink.ts'
import { ConnectionLimits } from '../../../src/images/read-ahead/connection-limits.ts'
import { ReadAhead, type OrderedSink } from '../../../src/images/read-ahead/read-ahead.ts'
import { Segment } from '../../../src/images/read-ahead/segment.ts'
import { madeContent, startOrigin, type Answer, type Content, type Origin } from '../../host/images/origin.ts'

const content = madeContent(20 * SEGMENT_BYTES + 512)
const CONNECTIONS = 3
const MIB = 1024 * 1024
const silent: Answer = { stopAt: { bytes: MIB, by: 'silence' } }

/** Takes pieces of 100,000 bytes, in order; nothing while it is `shut`. */
class PieceSink implements OrderedSink {
  onSpace: (() => void) | undefined
  bytesAccepted = 0
  /** Where what was taken is not the content. */
  wrongAt: number | undefined
  #shut: boolean
  readonly #piece = Buffer.alloc(100_000)

  constructor(shut = false) {
    this.#shut = shut
  }
  space(): Uint8Array | undefined {
    return this.#shut ? undefined : this.#piece
  }
  advance(bytes: number): void {
    const right = content.read(this.bytesAccepted, this.bytesAccepted + bytes)
    if (!right.equals(this.#piece.subarray(0, bytes))) this.wrongAt ??= this.bytesAccepted
    this.bytesAccepted += bytes
  }
  write(): boolean {
    throw new Error('everything is copied into its memory')
  }
  open(): void {
    this.#shut = false
    this.onSpace?.()
  }
}

describe('ReadAhead', () => {
  let origin: Origin
  const stop = new AbortController()
  const notices: string[] = []

  beforeEach(async () => {
    origin = await startOrigin(content)
  })
  afterEach(() => origin[Symbol.asyncDispose]())

  const round = async (sink: OrderedSink, signal: AbortSignal, limits?: ConnectionLimits) => {
    const source = new ImageSource(
      {
        urls: [origin.url],
        proven: false,
        patienceMs: 10_000,
        connections: CONNECTIONS,
        fetch: {
          allowPrivateAddresses: true,
          allowDowngrade: false,
          connectTimeoutMs: 10_000,
          headersTimeoutMs: 10_000,
        },
      },
      (text) => void notices.push(text),
      undefined,
      limits,
    )
    const first = await source.open(sink.bytesAccepted, signal)
    return { source, ahead: new ReadAhead(source, first, sink, new TokenBucket()) }
  }

  it('stops when its window is full, and goes on when the sink does', async () => {
    const sink = new PieceSink(true)
    const { ahead } = await round(sink, stop.signal)
    const end = ahead.run(stop.signal)
    const window = CONNECTIONS * 2 * SEGMENT_BYTES
    await expect.poll(() => ahead.bytesHeld, { timeout: 20_000 }).toBe(window)
    expect(origin.asked).toHaveLength(CONNECTIONS * 2)
    sink.open()
    expect(await end).toBe('whole')
    expect(sink).toMatchObject({ bytesAccepted: content.bytes, wrongAt: undefined })
    expect(ahead.bytesHeld).toBe(0)
    expect(origin.asked).toHaveLength(21)
    await expect.poll(() => origin.connections().open, { timeout: 20_000 }).toBe(0)
  })

  it('ends with its signal, and leaves no connection', async () => {
    const sink = new PieceSink(true)
    const hangUp = new AbortController()
    const { ahead } = await round(sink, hangUp.signal)
    const end = ahead.run(hangUp.signal)
    await expect.poll(() => origin.connections().open, { timeout: 20_000 }).toBe(CONNECTIONS)
    hangUp.abort(new Error('enough'))
    await expect(end).rejects.toThrow('enough')
    await expect.poll(() => origin.connections().open, { timeout: 20_000 }).toBe(0)
  })

  it('hands over to one connection when more comes than was asked for', async () => {
    const sink = new PieceSink()
    const { source, ahead } = await round(sink, stop.signal)
    // Without a length nobody but the segment sees it.
    origin.answer({ chunked: true, announce: content.bytes })
    expect(await ahead.run(stop.signal)).toMatchObject({ reason: 'DOWNLOAD_TRUNCATED' })
    expect(source.connections).toBe(1)
    expect(notices.join()).toContain('one connection')
    expect(sink.wrongAt).toBeUndefined()
  })

  it('counts a connection as served from its first byte on', async () => {
    const sink = new PieceSink()
    const hangUp = new AbortController()
    const { source, ahead } = await round(sink, hangUp.signal)
    const refuse = async (response: ServerResponse) => {
      const arrived = () => sink.bytesAccepted + ahead.bytesHeld
      await expect.poll(arrived, { timeout: 20_000 }).toBe(SEGMENT_BYTES + 2 * MIB)
      response.writeHead(503, { 'retry-after': '3600' }).end()
    }
    origin.answer(silent, silent, { raw: (response) => void refuse(response) })
    const end = ahead.run(hangUp.signal)
    await expect.poll(() => source.connections, { timeout: 20_000 }).toBe(CONNECTIONS - 1)
    hangUp.abort(new Error('enough'))
    await expect(end).rejects.toThrow('enough')
    expect(notices.at(-1)).toContain('going on with fewer')
  })

  it('has all its connections again some time after a server refused all but one', async () => {
    const clock = { now: 0 }
    const limits = new ConnectionLimits(CONNECTIONS, { now: () => clock.now })
    const refusal: Answer = { raw: (response) => response.writeHead(503).end() }
    let isBusy = true
    origin.answer(({ atOnce }) => (isBusy && atOnce > 1 ? refusal : { bytesPerSecond: 32 * MIB }))
    const sink = new PieceSink(true)
    const { source, ahead } = await round(sink, stop.signal, limits)
    const end = ahead.run(stop.signal)
    await expect.poll(() => source.connections, { timeout: 20_000 }).toBe(1)
    // What one connection brings meanwhile is bounded by the window.
    isBusy = false
    clock.now = 5_000
    const before = origin.asked.length
    sink.open()
    expect(await end).toBe('whole')
    expect(Math.max(...origin.asked.slice(before).map(({ atOnce }) => atOnce))).toBe(CONNECTIONS)
    expect(source.connections).toBe(CONNECTIONS)
    expect(sink).toMatchObject({ bytesAccepted: content.bytes, wrongAt: undefined })
    expect(notices.at(-1)).toBe('the server serves more connections again')
  })

  it('ends a connection that says nothing while the others wait for it, and keeps what there is', async () => {
    const sink = new PieceSink()
    const { source, ahead } = await round(sink, stop.signal)
    origin.answer(silent, {})
    const end = ahead.run(stop.signal)
    await expect.poll(() => ahead.bytesHeld, { timeout: 20_000 }).toBe((CONNECTIONS * 2 - 1) * SEGMENT_BYTES)
    expect(ahead.endSilent(new AgentError('DOWNLOAD_STALLED', 'no byte arrived'))).toBe(true)
    expect(await end).toBe('whole')
    expect(sink).toMatchObject({ bytesAccepted: content.bytes, wrongAt: undefined })
    expect(source.connections).toBe(CONNECTIONS - 1)
    // The rest of the segment is all that was asked for beside each segment.
    expect(origin.asked.map(({ range }) => range)).toContain(`bytes=${SEGMENT_BYTES + MIB}-${2 * SEGMENT_BYTES - 1}`)
    expect(origin.asked).toHaveLength(22)
  })

  it('has nobody to end when all of them are silent', async () => {
    const sink = new PieceSink()
    const hangUp = new AbortController()
    origin.answer(silent)
    const { ahead } = await round(sink, hangUp.signal)
    const end = ahead.run(hangUp.signal)
    await expect.poll(() => ahead.bytesHeld, { timeout: 20_000 }).toBe((CONNECTIONS - 1) * MIB)
    expect(ahead.endSilent(new AgentError('DOWNLOAD_STALLED', 'no byte arrived'))).toBe(false)
    hangUp.abort(new Error('enough'))
    await expect(end).rejects.toThrow('enough')
  })

  it('takes a refusal behind a redirect for a link that has expired, once', async () => {
    await using elsewhere = await startOrigin(content)
    origin.answer({ raw: (response) => response.writeHead(302, { location: `${elsewhere.url}?signature=1` }).end() })
    // Parts beside the first one are refused, whatever link it is.
    elsewhere.answer(({ range }) => (range?.startsWith('bytes=0-') === true ? silent : { status: 403 }))
    const sink = new PieceSink()
    const { source, ahead } = await round(sink, stop.signal)
    expect(await ahead.run(stop.signal)).toMatchObject({ reason: 'DOWNLOAD_TRUNCATED' })
    expect(source.connections).toBe(CONNECTIONS)
    const first = await source.open(0, stop.signal)
    const again = new ReadAhead(source, first, new PieceSink(), new TokenBucket())
    expect(await again.run(stop.signal)).toMatchObject({ reason: 'DOWNLOAD_TRUNCATED' })
    expect(source.connections).toBe(1)
  })

  it('has what it put together fetched once more, by one connection, when it is wrong', async () => {
    const sink = new PieceSink()
    const { source, ahead } = await round(sink, stop.signal)
    // Another backend: other bytes, and nothing that tells.
    const mixed: Answer = { content: madeContent(content.bytes, 2), etag: etagOf(content), headers: { etag: '' } }
    origin.answer(mixed)
    expect(await ahead.run(stop.signal)).toBe('whole')
    expect(sink.wrongAt).toBe(SEGMENT_BYTES)
    source.distrust(new AgentError('CHECKSUM_MISMATCH', 'other bytes'))
    expect(source.connections).toBe(1)
    origin.answer({})
    const whole = await source.open(0, stop.signal)
    expect(whole).toMatchObject({ from: 0, isPart: false })
    whole.close()
    expect(() => source.distrust(new AgentError('CHECKSUM_MISMATCH', 'other bytes'))).toThrow('other bytes')
  })

  it('limits the connections of one source, not those of its mirrors', async () => {
    const { source } = await round(new PieceSink(), stop.signal)
    source.limit(1, 2, new AgentError('DOWNLOAD_STALLED', 'no byte arrived'))
    source.narrow(1, 'it sends no parts')
    expect(source.connections).toBe(CONNECTIONS)
    source.limit(0, 2, new AgentError('DOWNLOAD_STALLED', 'no byte arrived'))
    source.limit(0, 3, new AgentError('DOWNLOAD_STALLED', 'no byte arrived'))
    expect(source.connections).toBe(2)
  })
})

const etagOf = ({ sha256 }: Content) => `"${sha256.slice(0, 16)}"`

describe('Segment', () => {
  const made = (length: number) => {
    let overrun = 0
    const on = { bytes: () => undefined, overrun: () => void overrun++ }
    return { segment: new Segment({ start: 100, length }, new Uint8Array(8), on), overruns: () => overrun }
  }
  it('is taken out while it is filled, and knows what is missing', () => {
    const { segment } = made(6)
    segment.write(Buffer.from('abc'))
    expect(segment.missing).toEqual({ from: 103, to: 105 })
    const space = Buffer.alloc(2)
    expect([segment.take(space), space.toString(), segment.held]).toEqual([2, 'ab', 1])
    segment.write(Buffer.from('def'))
    expect([segment.isFull, segment.isTaken]).toEqual([true, false])
    const rest = Buffer.alloc(9)
    expect([segment.take(rest), rest.subarray(0, 4).toString(), segment.isTaken]).toEqual([4, 'cdef', true])
  })
  it('takes no byte beyond its end', () => {
    const { segment, overruns } = made(6)
    segment.write(Buffer.from('abcdefgh'))
    expect([segment.isFull, segment.held, overruns()]).toEqual([true, 6, 1])
  })
})
