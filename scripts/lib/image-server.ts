// A small HTTP server for one directory, as an image mirror would serve it: GET and HEAD with Content-Length, ETag,
// Last-Modified, If-None-Match and single ranges (RFC 9110). Loopback only. Prints its base URL on stdout, one line.
//
//   node image-server.ts DIRECTORY [PORT]     (port 0, the default, takes a free one)
import { createReadStream } from 'node:fs'
import { realpath, stat } from 'node:fs/promises'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join, sep } from 'node:path'
import { pipeline } from 'node:stream/promises'
import { fileURLToPath } from 'node:url'

const LOOPBACK = '127.0.0.1'

/** A byte range of a file, both ends included. */
export interface ByteRange {
  readonly first: number
  readonly last: number
}

/**
 * Reads a Range header for a file of `sizeBytes`: a range, `unsatisfiable` (answer 416), or undefined when the whole
 * file is to be sent (no header, several ranges, another unit, bad syntax), as RFC 9110 section 14.2 allows.
 */
export function parseRange(header: string | undefined, sizeBytes: number): ByteRange | 'unsatisfiable' | undefined {
  const match = /^bytes=(\d*)-(\d*)$/.exec(header ?? '')
  const [, from, to] = match ?? []
  if (from === undefined || to === undefined || (from === '' && to === '')) return undefined
  if (from === '') {
    const length = Number(to)
    return length === 0 || sizeBytes === 0
      ? 'unsatisfiable'
      : { first: Math.max(0, sizeBytes - length), last: sizeBytes - 1 }
  }
  const first = Number(from)
  if (to !== '' && Number(to) < first) return undefined
  if (first >= sizeBytes) return 'unsatisfiable'
  return { first, last: to === '' ? sizeBytes - 1 : Math.min(Number(to), sizeBytes - 1) }
}

async function findFile(root: string, url: string): Promise<string | undefined> {
  try {
    const path = decodeURIComponent(new URL(url, 'http://localhost').pathname)
    // realpath follows every link, so a name or a link that leads outside does not pass the comparison.
    const file = await realpath(join(root, path))
    return file.startsWith(root + sep) ? file : undefined
  } catch {
    // A bad escape, a NUL or a missing file: for the client all of them are 404.
    return undefined
  }
}

async function answer(root: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  if (request.method !== 'GET' && request.method !== 'HEAD') {
    response.writeHead(405, { Allow: 'GET, HEAD' }).end()
    return
  }
  const file = await findFile(root, request.url ?? '/')
  const stats = file === undefined ? undefined : await stat(file)
  if (file === undefined || stats?.isFile() !== true) {
    response.writeHead(404, { 'Content-Type': 'text/plain' }).end('no such file\n')
    return
  }
  const etag = `"${stats.size.toString(16)}-${Math.trunc(stats.mtimeMs).toString(16)}"`
  const headers = {
    ETag: etag,
    'Last-Modified': stats.mtime.toUTCString(),
    'Accept-Ranges': 'bytes',
    'Content-Type': file.endsWith('SUMS') || file.endsWith('.txt') ? 'text/plain' : 'application/octet-stream',
  }
  if (request.headers['if-none-match'] === etag) {
    response.writeHead(304, headers).end()
    return
  }
  const ifRange = request.headers['if-range']
  // The file changed since the client's first part: the range must not be glued to it.
  const range = ifRange === undefined || ifRange === etag ? parseRange(request.headers.range, stats.size) : undefined
  if (range === 'unsatisfiable') {
    response.writeHead(416, { 'Content-Range': `bytes */${stats.size}` }).end()
    return
  }
  const { first, last } = range ?? { first: 0, last: stats.size - 1 }
  response.writeHead(range === undefined ? 200 : 206, {
    ...headers,
    'Content-Length': last - first + 1,
    ...(range === undefined ? {} : { 'Content-Range': `bytes ${first}-${last}/${stats.size}` }),
  })
  if (request.method === 'HEAD' || stats.size === 0) {
    response.end()
    return
  }
  await pipeline(createReadStream(file, { start: first, end: last, highWaterMark: 1 << 20 }), response)
}

/** Serves `directory` on loopback; resolves to the base URL (with a trailing slash) and a function that stops it. */
export async function serveDirectory(
  directory: string,
  port = 0,
): Promise<{ readonly url: string; readonly close: () => Promise<void> }> {
  const root = await realpath(directory)
  const server = createServer((request, response) => {
    answer(root, request, response).catch((error: unknown) => {
      // A client that hangs up in the middle is its own business; anything else is worth a line.
      if (request.socket.destroyed) return
      process.stderr.write(`image-server: ${request.url}: ${String(error)}\n`)
      response.destroy()
    })
  })
  await new Promise<void>((resolve, reject) => {
    server.once('error', reject).listen(port, LOOPBACK, resolve)
  })
  const address = server.address() as AddressInfo
  return {
    url: `http://${LOOPBACK}:${address.port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [directory, port] = process.argv.slice(2)
  if (directory === undefined) {
    process.stderr.write('usage: node image-server.ts DIRECTORY [PORT]\n')
    process.exit(2)
  }
  const server = await serveDirectory(directory, Number(port ?? 0))
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.once(signal, () => void server.close().then(() => process.exit(0)))
  }
  process.stdout.write(`${server.url}\n`)
}
