import { once } from 'node:events'
import { createServer, type RequestListener, type Server } from 'node:http'
import { createSecureServer } from 'node:http2'
import type { AddressInfo, Socket } from 'node:net'
import { afterEach, describe, expect, it } from 'vitest'
import { z } from 'zod'
import {
  connectCode,
  createConnectClient,
  retryAfterMs,
  type ConnectClient,
} from '../../../src/platform/connect-client.ts'
import { TestAuthority } from '../../support/test-authority.ts'

const cleanup: (() => Promise<unknown>)[] = []

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step()
})

async function serve(listener: RequestListener): Promise<{ url: string; server: Server }> {
  const server = createServer(listener)
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  cleanup.push(async () => {
    const closed = once(server, 'close')
    server.close()
    server.closeAllConnections()
    await closed
  })
  return { url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, server }
}

function clientOf(baseUrl: string, maxResponseBytes?: number): ConnectClient {
  const client = createConnectClient({ baseUrl, ...(maxResponseBytes === undefined ? {} : { maxResponseBytes }) })
  cleanup.push(() => client.close())
  return client
}

const never = new AbortController().signal
const anything = z.object({})
const ask = (client: ConnectClient, timeoutMs = 10_000, signal = never) =>
  client.call('pkg.Service/Method', { a: 1 }, anything, { signal, timeoutMs })

describe('the Connect client', () => {
  it('posts JSON below the path of the base URL and reads 64-bit strings as numbers', async () => {
    const seen: unknown[] = []
    const { url } = await serve((request, response) => {
      let body = ''
      request.on('data', (chunk: Buffer) => (body += chunk.toString()))
      request.on('end', () => {
        const { method, url: path, headers } = request
        seen.push({ method, path, type: headers['content-type'], version: headers['connect-protocol-version'], body })
        response.end('{"serverTimeUnix":"1767225600"}')
      })
    })
    const client = clientOf(`${url}/cp/`)
    const schema = z.object({ serverTimeUnix: z.coerce.number() })
    const answer = await client.call('pkg.Service/Method', { a: 1 }, schema, { signal: never, timeoutMs: 10_000 })
    expect(answer).toEqual({ serverTimeUnix: 1_767_225_600 })
    expect(seen).toEqual([
      { method: 'POST', path: '/cp/pkg.Service/Method', type: 'application/json', version: '1', body: '{"a":1}' },
    ])
  })

  it('speaks HTTP/1.1 with a server that would have HTTP/2 as well', async () => {
    await using authority = await TestAuthority.create()
    const versions: string[] = []
    const server = createSecureServer({ allowHTTP1: true, ...(await authority.issue()) }, (request, response) => {
      versions.push(request.httpVersion)
      request.resume().on('end', () => response.end('{}'))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    const tls = () => Promise.resolve({ ca: [authority.cert], identity: undefined })
    const client = createConnectClient({
      baseUrl: `https://127.0.0.1:${(server.address() as AddressInfo).port}`,
      tls,
    })
    cleanup.push(async () => {
      const closed = once(server, 'close')
      server.close()
      await client.close()
      await closed
    })
    expect(await ask(client)).toEqual({})
    expect(versions).toEqual(['1.1'])
  })

  it('keeps its connection for the next call', async () => {
    const sockets = new Set<Socket>()
    const { url } = await serve((request, response) => {
      sockets.add(request.socket)
      request.resume().on('end', () => response.end('{}'))
    })
    const client = clientOf(url)
    for (let call = 0; call < 3; call++) {
      await ask(client)
      // A connection is free again one turn after its answer was read.
      await new Promise((resolve) => setImmediate(resolve))
    }
    expect(sockets.size).toBe(1)
  })

  it('repeats a call once when a kept connection was closed under it', async () => {
    let calls = 0
    const { url } = await serve((request, response) => {
      calls++
      if (calls === 2) request.socket.destroy()
      else request.resume().on('end', () => response.end('{}'))
    })
    const client = clientOf(url)
    await ask(client)
    await ask(client)
    expect(calls).toBe(3)
  })

  it('keeps the words and the code of a refusal', async () => {
    const { url } = await serve((_, response) => {
      response.writeHead(404).end('{"code":"not_found","message":"node\\nnot found: 17"}')
    })
    const error: unknown = await ask(clientOf(url)).catch((e: unknown) => e)
    expect(error).toMatchObject({
      reason: 'CONTROL_PLANE_REFUSED',
      message: 'Method was answered with HTTP 404 (not_found): node not found: 17',
      details: { connectCode: 'not_found', httpStatus: '404' },
    })
    expect(connectCode(error)).toBe('not_found')
  })

  it.for<[number, string, string, string]>([
    [404, '<html>no such page</html>', 'CONTROL_PLANE_BAD_ANSWER', 'unimplemented'],
    [501, '{"code":"unimplemented","message":"SyncFullState"}', 'CONTROL_PLANE_REFUSED', 'unimplemented'],
    [400, '{"code":"invalid_argument"}', 'CONTROL_PLANE_REFUSED', 'invalid_argument'],
    [502, 'Bad Gateway', 'CONTROL_PLANE_UNAVAILABLE', 'unavailable'],
    [503, '{"code":"unavailable"}', 'CONTROL_PLANE_UNAVAILABLE', 'unavailable'],
    [429, '', 'CONTROL_PLANE_UNAVAILABLE', 'unavailable'],
    [301, 'moved', 'CONTROL_PLANE_BAD_ANSWER', 'unknown'],
  ])('reads HTTP %i %s as %s (%s)', async ([status, body, reason, code]) => {
    const { url } = await serve((_, response) => response.writeHead(status).end(body))
    const error: unknown = await ask(clientOf(url)).catch((e: unknown) => e)
    expect(error).toMatchObject({ reason })
    expect(connectCode(error)).toBe(code)
    expect(retryAfterMs(error)).toBeUndefined()
  })

  it('tells how long a server wants to be left alone', async () => {
    const { url } = await serve((_, response) => response.writeHead(503, { 'retry-after': '120' }).end())
    expect(retryAfterMs(await ask(clientOf(url)).catch((e: unknown) => e))).toBe(120_000)
    const past = await serve((_, response) =>
      response.writeHead(503, { 'retry-after': 'Wed, 21 Oct 2015 07:28:00 GMT' }).end(),
    )
    expect(retryAfterMs(await ask(clientOf(past.url)).catch((e: unknown) => e))).toBe(0)
  })

  it.for<[string, string]>([
    ['a web page', '<!doctype html>'],
    ['binary garbage', '\u0000\u0001\u0002'],
    ['an empty body', ''],
    ['a list', '[]'],
  ])('refuses %s as an answer', async ([, body]) => {
    const { url } = await serve((_, response) => response.end(body))
    await expect(ask(clientOf(url))).rejects.toMatchObject({ reason: 'CONTROL_PLANE_BAD_ANSWER' })
  })

  it('refuses more than it is ready to hold', async () => {
    const { url } = await serve((_, response) => response.end(JSON.stringify({ a: 'x'.repeat(5000) })))
    await expect(ask(clientOf(url, 10_000))).resolves.toBeDefined()
    await expect(ask(clientOf(url, 1000))).rejects.toMatchObject({ reason: 'CONTROL_PLANE_BAD_ANSWER' })
  })

  it('ends a call at its deadline, before and within the answer', async () => {
    const { url: silent } = await serve(() => undefined)
    const { url: half } = await serve((_, response) => {
      response.writeHead(200, { 'content-length': '10' }).write('{')
    })
    for (const url of [silent, half]) {
      await expect(ask(clientOf(url), 50)).rejects.toMatchObject({
        reason: 'CONTROL_PLANE_UNAVAILABLE',
        details: { cause: 'DEADLINE' },
      })
    }
  })

  it('does not use the connection of a missed answer again', async () => {
    const sockets: Socket[] = []
    const { url } = await serve((request, response) => {
      sockets.push(request.socket)
      if (sockets.length > 1) response.end('{}')
    })
    const client = clientOf(url)
    await expect(ask(client, 50)).rejects.toMatchObject({ reason: 'CONTROL_PLANE_UNAVAILABLE' })
    await ask(client)
    expect(sockets[1]).not.toBe(sockets[0])
  })

  it("rejects with the caller's own reason when the caller gives up", async () => {
    const gone = new AbortController()
    const { url } = await serve(() => gone.abort(new Error('caller left')))
    await expect(ask(clientOf(url), 10_000, gone.signal)).rejects.toThrow('caller left')
  })

  it('names the address that cannot be reached', async () => {
    const { url, server } = await serve(() => undefined)
    server.close()
    await once(server, 'close')
    await expect(ask(clientOf(url))).rejects.toMatchObject({
      reason: 'CONTROL_PLANE_UNAVAILABLE',
      message: expect.stringContaining(url),
      details: { cause: 'ECONNREFUSED' },
    })
    cleanup.shift()
  })

  it.for(['', 'cp:8080', 'ftp://cp', 'http://user:pw@cp', 'http://cp/?q=1', 'http://cp/#x'])(
    'refuses the address %j',
    (text) => {
      expect(() => createConnectClient({ baseUrl: text })).toThrow(
        expect.objectContaining({ reason: 'CONFIG_INVALID' }),
      )
    },
  )
})
