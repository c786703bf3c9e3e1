import { once } from 'node:events'
import { connect } from 'node:net'
import { afterEach, beforeEach, describe, expect, test } from 'vitest'
import { AgentError } from '../../../src/core/errors.ts'
import type { PoolFileContent } from '../../../src/core/model.ts'
import { parseRange } from '../../../src/http/byte-range.ts'
import { untilStill } from '../../support/until-still.ts'
import { poolContent } from '../grpc/fake-services.ts'
import { startHttpRig, type HttpRig } from './client.ts'

const URL = '/api/v1/storage/pools/pool-1/files/content?path=a.txt'
const SIZE = 'Hello, range!'.length

let rig: HttpRig
beforeEach(async () => {
  rig = await startHttpRig()
})
afterEach(async () => {
  await rig[Symbol.asyncDispose]()
})

const get = (headers: Record<string, string> = {}, method = 'GET') =>
  fetch(`${rig.server.address}${URL}`, { method, headers })

describe('the bytes of a file', () => {
  test('whole, with what a client needs to go on later', async () => {
    const answer = await get()
    expect(answer.status).toBe(200)
    expect(await answer.text()).toBe('Hello, range!')
    expect(Object.fromEntries(answer.headers)).toMatchObject({
      'content-type': 'application/octet-stream',
      'content-length': String(SIZE),
      'accept-ranges': 'bytes',
      etag: '"v1"',
      'x-content-type-options': 'nosniff',
      'content-disposition': `attachment; filename="a.txt"; filename*=UTF-8''a.txt`,
    })
  })

  test.each([
    ['bytes=0-0', 'H', '0-0'],
    ['bytes=7-11', 'range', '7-11'],
    ['bytes=7-', 'range!', '7-12'],
    ['bytes=-1', '!', '12-12'],
    ['bytes=0-999', 'Hello, range!', '0-12'],
  ])('%s is 206', async (range, text, where) => {
    const answer = await get({ range })
    expect(answer.status).toBe(206)
    expect(await answer.text()).toBe(text)
    expect(answer.headers.get('content-range')).toBe(`bytes ${where}/${SIZE}`)
    expect(answer.headers.get('content-length')).toBe(String(text.length))
  })

  test('a range behind the end is 416 and says the size', async () => {
    const answer = await get({ range: `bytes=${SIZE}-` })
    expect(answer.status).toBe(416)
    expect(answer.headers.get('content-range')).toBe(`bytes */${SIZE}`)
    expect(await answer.json()).toMatchObject({ error: 'range_not_satisfiable' })
  })

  test('If-Range gives the part of the same file, and the whole of another one', async () => {
    expect((await get({ range: 'bytes=7-', 'if-range': '"v1"' })).status).toBe(206)
    expect((await get({ range: 'bytes=7-', 'if-range': '"v0"' })).status).toBe(200)
    expect((await get({ range: 'bytes=7-', 'if-range': new Date().toUTCString() })).status).toBe(200)
  })

  test('If-None-Match spares what the client has', async () => {
    const answer = await get({ 'if-none-match': 'W/"x", "v1"' })
    expect(answer.status).toBe(304)
    expect(await answer.text()).toBe('')
  })

  test('HEAD has the headers and reads nothing', async () => {
    let reads = 0
    const lazy: PoolFileContent = {
      ...poolContent,
      async *read() {
        reads++
        yield Buffer.alloc(SIZE)
      },
    }
    await using own = await startHttpRig({ pools: { openFile: () => Promise.resolve(lazy) } })
    const answer = await fetch(`${own.server.address}${URL}`, { method: 'HEAD' })
    expect(answer.status).toBe(200)
    expect(answer.headers.get('content-length')).toBe(String(SIZE))
    expect(reads).toBe(0)
  })

  test('a hostile name stays inside the header', async () => {
    const hostile = { ...poolContent, name: 'a"; x=\'ü.iso' }
    await using own = await startHttpRig({ pools: { openFile: () => Promise.resolve(hostile) } })
    const answer = await fetch(`${own.server.address}${URL}`)
    expect(answer.headers.get('content-disposition')).toBe(
      `attachment; filename="a__ x___.iso"; filename*=UTF-8''a%22%3B%20x%3D%27%C3%BC.iso`,
    )
  })

  test('an error in the middle cuts the connection: the client never takes a part for the whole', async () => {
    const breaking: PoolFileContent = {
      ...poolContent,
      async *read() {
        yield Buffer.from('Hello')
        throw new AgentError('FILE_CHANGED', 'changed')
      },
    }
    await using own = await startHttpRig({ pools: { openFile: () => Promise.resolve(breaking) } })
    const answer = await fetch(`${own.server.address}${URL}`)
    await expect(answer.text()).rejects.toThrow()
  })

  test('a client that hangs up ends the reading, and one that does not take holds it up', async () => {
    let pieces = 0
    const ended = Promise.withResolvers<void>()
    const endless: PoolFileContent = {
      ...poolContent,
      sizeBytes: 2 ** 40,
      async *read() {
        try {
          for (;;) {
            pieces++
            yield Buffer.alloc(2 ** 16)
          }
        } finally {
          ended.resolve()
        }
      },
    }
    await using own = await startHttpRig({ pools: { openFile: () => Promise.resolve(endless) } })
    const socket = connect(own.server.port, '127.0.0.1')
    socket.write(`GET ${URL} HTTP/1.1\r\nhost: x\r\n\r\n`)
    await once(socket, 'readable')
    // Nobody takes anything: what the kernel buffers is all that is read.
    expect((await untilStill(() => pieces)) * 2 ** 16).toBeLessThan(2 ** 26)
    socket.destroy()
    await ended.promise
  })
})

test.each([
  [undefined, 10, undefined],
  ['', 10, undefined],
  ['bytes=', 10, undefined],
  ['bytes=-', 10, undefined],
  ['bytes=5-2', 10, undefined],
  ['bytes=0-1,3-4', 10, undefined],
  ['lines=0-1', 10, undefined],
  ['bytes=9-9', 10, { first: 9, last: 9 }],
  ['bytes=-99', 10, { first: 0, last: 9 }],
  ['bytes=-0', 10, 'unsatisfiable'],
  ['bytes=10-', 10, 'unsatisfiable'],
  ['bytes=0-', 0, 'unsatisfiable'],
  ['bytes=-5', 0, 'unsatisfiable'],
] as const)('the range %j of %i bytes', (header, size, range) => {
  expect(parseRange(header, size)).toEqual(range)
})
