/**
 * Serves one disk image of argv[2] bytes at any path, from memory, or the file argv[3] and parts of it, as fast as the socket takes it, or with at most argv[4] bytes per second for each connection. Sends its address
 * and the image's sha256 to the parent.
 */
import { createHash } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo, Socket } from 'node:net'
import path from 'node:path'
import { pipeline } from 'node:stream/promises'
import { setTimeout as pause } from 'node:timers/promises'
import { pieces } from './image-pieces.ts'

const PACED_BYTES = 128 * 1024
const size = Number(process.argv[2])

const hash = createHash('sha256')
if (process.argv[3] === undefined) for (const piece of pieces(size)) hash.update(piece)
else for await (const piece of createReadStream(process.argv[3])) hash.update(piece as Buffer)
const sha256 = hash.digest('hex')

const file = process.argv[3]
const bytesPerSecond = Number(process.argv[4] ?? Infinity)
/** When a connection may have its next byte. */
const due = new WeakMap<Socket, number>()
const server = createServer((request, response) => {
  if (file !== undefined) {
    // Who hangs up early is no fault of ours.
    sendFile(file, request, response).catch(() => response.destroy())
    return
  }
  response.writeHead(200, { 'content-length': size, 'content-type': 'application/octet-stream' })
  send(response, pieces(size))
})
server.listen(0, '127.0.0.1', () => {
  process.send?.({
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/${path.basename(process.argv[3] ?? 'disk.img')}`,
    sha256,
  })
})

async function sendFile(from: string, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const total = statSync(from).size
  const asked = /^bytes=(\d+)-(\d*)$/.exec(request.headers.range ?? '')
  const start = Number(asked?.[1] ?? 0)
  const end = Math.min(total - 1, Number(asked?.[2] || Infinity))
  response.writeHead(asked === null ? 200 : 206, {
    'content-length': end + 1 - start,
    'content-type': 'application/octet-stream',
    etag: `"${sha256}"`,
    ...(asked === null ? {} : { 'content-range': `bytes ${start}-${end}/${total}` }),
  })
  const isPaced = Number.isFinite(bytesPerSecond)
  const bytes = createReadStream(from, { start, end, highWaterMark: isPaced ? PACED_BYTES : 1024 * 1024 })
  if (isPaced) await pipeline(bytes, (pieces) => paced(pieces, request.socket), response)
  else await pipeline(bytes, response)
}

async function* paced(pieces: AsyncIterable<Buffer>, socket: Socket): AsyncGenerator<Buffer, void> {
  for await (const piece of pieces) {
    const from = Math.max(due.get(socket) ?? 0, performance.now())
    due.set(socket, from + (piece.length * 1000) / bytesPerSecond)
    await pause(Math.max(0, from - performance.now()))
    yield piece
  }
}

function send(response: ServerResponse, rest: Iterator<Buffer>): void {
  for (let next = rest.next(); next.done !== true; next = rest.next()) {
    if (!response.write(next.value)) {
      response.once('drain', () => send(response, rest))
      return
    }
  }
  response.end()
}
