import { once } from 'node:events'
import { connect } from 'node:net'
import { Duplex, PassThrough } from 'node:stream'
import fastify from 'fastify'
import { expect, test } from 'vitest'
import { WebSocket } from 'ws'
import { silentLogger } from '../../../src/core/context.ts'
import { AgentError } from '../../../src/core/errors.ts'
import { webSockets } from '../../../src/http/web-socket.ts'
import { untilStill } from '../../support/until-still.ts'
import { until } from '../../support/until.ts'
import { writePieces } from '../../support/write-pieces.ts'
import { memoryTrail } from '../audit/memory-trail.ts'
import { VM_ID } from '../grpc/fake-services.ts'
import { startHttpRig } from './client.ts'

const PATH = `/api/v1/vms/${VM_ID}/console/ws?ticket=id.secret`
const wsUrl = (rig: { server: { address: string } }, path = PATH) =>
  `${rig.server.address.replace('http', 'ws')}${path}`

/** The two ends of a console: what one writes the other reads. */
function pair(): [Duplex, Duplex] {
  const [up, down] = [new PassThrough(), new PassThrough()]
  const ends = [Duplex.from({ readable: up, writable: down }), Duplex.from({ readable: down, writable: up })] as const
  for (const end of ends) end.on('error', () => undefined)
  return [...ends]
}

async function refusal(url: string, options: object = {}): Promise<{ status: number; text: string }> {
  const socket = new WebSocket(url, options)
  socket.on('error', () => undefined)
  const [, response] = (await once(socket, 'unexpected-response')) as [
    unknown,
    AsyncIterable<Buffer> & { statusCode: number },
  ]
  let text = ''
  for await (const chunk of response) text += chunk.toString()
  return { status: response.statusCode, text }
}

test('carries bytes both ways in binary messages, and ends with the console', async () => {
  const [stream, guest] = pair()
  await using rig = await startHttpRig({ consoles: { connect: async () => ({ kind: 'serial', stream }) } })
  const socket = new WebSocket(wsUrl(rig), ['binary', 'other'])
  await once(socket, 'open')
  expect(socket.protocol).toBe('binary')
  socket.send('typed')
  expect(String((await once(guest, 'data'))[0])).toBe('typed')
  guest.write('answered')
  const [data, isBinary] = await once(socket, 'message')
  expect([String(data), isBinary]).toEqual(['answered', true])
  guest.end('bye')
  expect(String((await once(socket, 'message'))[0])).toBe('bye')
  await once(socket, 'close')
})

test('a viewer that goes away ends the console', async () => {
  const [stream] = pair()
  await using rig = await startHttpRig({ consoles: { connect: async () => ({ kind: 'vnc', stream }) } })
  const socket = new WebSocket(wsUrl(rig))
  await once(socket, 'open')
  socket.terminate()
  await until(async () => stream.closed)
})

test('is refused with the reason before it becomes a WebSocket, and told of in the audit log', async () => {
  const { trail, events } = memoryTrail()
  await using rig = await startHttpRig(
    {
      consoles: {
        connect: async () => {
          throw new AgentError('TICKET_INVALID', 'the console ticket is unknown')
        },
      },
    },
    trail,
  )
  expect(await refusal(wsUrl(rig), { origin: 'https://panel.example' })).toMatchObject({
    status: 401,
    text: expect.stringContaining('ticket_invalid'),
  })
  expect(events).toMatchObject([{ type: 'call' }, { type: 'result', result: 'TICKET_INVALID', objects: { id: VM_ID } }])
  expect(JSON.stringify(events)).not.toContain('secret')
  expect(await refusal(wsUrl(rig, '/nowhere'))).toMatchObject({ status: 404 })
  expect((await refusal(wsUrl(rig, '/api/v1/vms'))).status).toBe(200)
  expect((await rig.fetch('GET', PATH)).json).toMatchObject({ error: 'upgrade_required' })
})

test('an upgrade to something else is a plain request', async () => {
  await using rig = await startHttpRig()
  const { port } = rig.server
  const socket = connect(port, '127.0.0.1')
  socket.write('GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n\r\n')
  expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 200 /)
  socket.destroy()
})

test('a wrong handshake ends the console that was opened for it', async () => {
  const [stream] = pair()
  await using rig = await startHttpRig({ consoles: { connect: async () => ({ kind: 'vnc', stream }) } })
  const socket = connect(rig.server.port, '127.0.0.1')
  socket.write(`GET ${PATH} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n`)
  expect(String((await once(socket, 'data'))[0])).toMatch(/^HTTP\/1.1 400 /)
  await until(async () => stream.closed)
})

test('the end of the server tells open sockets and does not wait for them', async () => {
  const [stream] = pair()
  const rig = await startHttpRig({ consoles: { connect: async () => ({ kind: 'vnc', stream }) } })
  const socket = new WebSocket(wsUrl(rig))
  await once(socket, 'open')
  const closed = once(socket, 'close')
  await rig.server.close(5_000)
  expect((await closed)[0]).toBe(1001)
  await until(async () => stream.closed)
})

test('a viewer that reads nothing holds the console back', async () => {
  const [stream, guest] = pair()
  await using rig = await startHttpRig({ consoles: { connect: async () => ({ kind: 'vnc', stream }) } })
  const socket = new WebSocket(wsUrl(rig))
  await once(socket, 'open')
  socket.pause()
  const written = writePieces(guest, 64)
  expect(await untilStill(() => written.taken)).toBeLessThan(64)
  socket.resume()
  await written.all
})

test('a peer that answers no ping is cut off', async () => {
  const app = fastify()
  const sockets = webSockets(app, new AbortController().signal, silentLogger, 50)
  const ended = Promise.withResolvers<void>()
  app.get('/ws', (request, reply) => {
    const use = async (peer: Duplex) => {
      peer.resume()
      await once(peer, 'end').catch(() => undefined)
      ended.resolve()
    }
    sockets.accept(request, reply, { use, abandon: () => undefined })
  })
  await app.listen({ port: 0, host: '127.0.0.1' })
  const { port } = app.server.address() as { port: number }
  const silent = connect(port, '127.0.0.1')
  silent.on('error', () => undefined)
  const key = Buffer.alloc(16).toString('base64')
  silent.write(
    `GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: ${key}\r\n\r\n`,
  )
  await ended.promise
  silent.destroy()
  await app.close()
})
