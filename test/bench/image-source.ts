/** Serves one disk image of argv[2] bytes at any path, from memory, as fast as the socket takes it. Sends its address and the image's sha256 to the parent. */
import { createHash } from 'node:crypto'
import { createServer, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { pieces } from './image-pieces.ts'

const size = Number(process.argv[2])

const hash = createHash('sha256')
for (const piece of pieces(size)) hash.update(piece)
const sha256 = hash.digest('hex')

const server = createServer((_request, response) => {
  response.writeHead(200, { 'content-length': size, 'content-type': 'application/octet-stream' })
  send(response, pieces(size))
})
server.listen(0, '127.0.0.1', () => {
  process.send?.({ url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/disk.img`, sha256 })
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
