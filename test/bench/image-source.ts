/** Serves one disk image of argv[2] bytes at any path, from memory, or the file argv[3], as fast as the socket takes it. Sends its address and the image's sha256 to the parent. */
import { createHash } from 'node:crypto'
import { createReadStream, statSync } from 'node:fs'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import { pieces } from './image-pieces.ts'

const size = Number(process.argv[2])

const hash = createHash('sha256')
if (process.argv[3] === undefined) for (const piece of pieces(size)) hash.update(piece)
else for await (const piece of createReadStream(process.argv[3])) hash.update(piece as Buffer)
const sha256 = hash.digest('hex')

const file = process.argv[3]
const server = createServer((request, response) => {
  if (file !== undefined) {
    response.writeHead(200, { 'content-length': statSync(file).size, 'content-type': 'application/octet-stream' })
    createReadStream(file, { highWaterMark: 1024 * 1024 }).pipe(response)
    request.socket.on('error', () => undefined)
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

function send(response: ServerResponse, rest: Iterator<Buffer>): void {
  for (let next = rest.next(); next.done !== true; next = rest.next()) {
    if (!response.write(next.value)) {
      response.once('drain', () => send(response, rest))
      return
    }
  }
  response.end()
}
