import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'

/** An HTTP server of images that can misbehave in every way a download meets. */
export interface ImageServer extends AsyncDisposable {
  /** `http://127.0.0.1:port`. */
  readonly origin: string
  /** Paths in the order they were asked for. */
  readonly requests: string[]
  /** Lets answers of `/paused` go on. */
  release(): void
}

/**
 * Serves `image` at `/ok`, `/chunked`, `/truncated` (closes half-way), `/reset`, `/silent` and `/silentchunks` (stop half-way), `/mute` (no headers), `/paused` (half, then waits for `release`), `/unbounded` (until
 * close), `/html`, `/404`, `/500`, `/empty`, `/encoded`, `/loop`, `/nowhere` (redirect without location) and `/to?<url>`. As a proxy it answers absolute request targets by their path.
 */
export async function startImageServer(image: Buffer): Promise<ImageServer> {
  const requests: string[] = []
  let gate = Promise.withResolvers<void>()
  const half = image.subarray(0, Math.floor(image.length / 2))
  const announce = (response: ServerResponse) =>
    response.writeHead(200, { 'content-length': image.length, 'content-type': 'application/octet-stream' })
  const routes: Record<string, (response: ServerResponse, request: IncomingMessage, url: URL) => void> = {
    '/ok': (response) => announce(response).end(image),
    '/chunked': (response) => {
      response.write(half)
      response.end(image.subarray(half.length))
    },
    '/truncated': (response) => announce(response).write(half, () => response.socket?.end()),
    '/silentchunks': (response) => void response.write(half),
    '/cutchunks': (response) => response.write(half, () => response.socket?.end()),
    '/reset': (response) => announce(response).write(half, () => response.socket?.resetAndDestroy()),
    '/silent': (response) => announce(response).write(half),
    '/mute': () => undefined,
    '/paused': (response) => {
      announce(response).write(half)
      void gate.promise.then(() => response.end(image.subarray(half.length)))
    },
    '/unbounded': (response) => {
      response.socket?.end(Buffer.concat([Buffer.from('HTTP/1.1 200 OK\r\nconnection: close\r\n\r\n'), image]))
    },
    '/html': (response) => response.writeHead(200).end('<!DOCTYPE html><html><body>Sign in</body></html>'),
    '/404': (response) => response.writeHead(404).end('Not Found'),
    '/500': (response) => response.writeHead(500).end(),
    '/empty': (response) => response.writeHead(200, { 'content-length': 0 }).end(),
    '/encoded': (response) => response.writeHead(200, { 'content-encoding': 'gzip' }).end('x'),
    '/loop': (response) => response.writeHead(302, { location: '/loop' }).end('moved'),
    '/nowhere': (response) => response.writeHead(302).end(),
    '/to': (response, _request, url) => response.writeHead(302, { location: url.search.slice(1) }).end('moved'),
  }
  const server = createServer((request, response) => {
    const url = new URL(request.url ?? '/', 'http://server')
    requests.push(request.url ?? '')
    const route = routes[url.pathname] ?? routes['/404']
    route?.(response, request, url)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  return {
    origin: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    requests,
    release() {
      gate.resolve()
      gate = Promise.withResolvers()
    },
    async [Symbol.asyncDispose]() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

/** A raw disk of `bytes` that no compression or zero detection shrinks: a boot signature and pseudo-random sectors, the same every time. */
export function rawDisk(bytes: number, seed = 1): Buffer {
  const disk = Buffer.alloc(bytes)
  let state = seed
  for (let offset = 0; offset + 4 <= bytes; offset += 4) {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0
    disk.writeUInt32LE(state, offset)
  }
  disk.fill(0, 0, 512)
  disk.writeUInt16LE(0xaa55, 510)
  return disk
}
