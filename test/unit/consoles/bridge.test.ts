import { once } from 'node:events'
import { type AddressInfo } from 'node:net'
import { Duplex } from 'node:stream'
import { afterEach, expect, test, vi } from 'vitest'
import { createWebSocketStream, WebSocket, WebSocketServer } from 'ws'
import { bridge } from '../../../src/consoles/bridge.ts'

afterEach(() => void vi.useRealTimers())

/** A side that takes what is written to it when `take` is called. */
function slowSide() {
  const taken: string[] = []
  const writing = Promise.withResolvers<() => void>()
  const side = new Duplex({
    read: () => undefined,
    write(chunk: Buffer, _encoding, done) {
      writing.resolve(() => {
        taken.push(chunk.toString())
        done()
      })
    },
  })
  return { side, taken, writing: writing.promise }
}

/** A guest that says something and ends. */
function leavingGuest(lastWords: string) {
  const guest = new Duplex({ read: () => undefined, write: (_chunk, _encoding, done) => done() })
  guest.push(lastWords)
  guest.push(null)
  return guest
}

test('what one side sent last reaches the other, however slow', async () => {
  const { side, taken, writing } = slowSide()
  const guest = leavingGuest('logout')
  const bridged = bridge(side, guest)
  const take = await writing
  if (!guest.closed) await once(guest, 'close')
  expect(side.destroyed).toBe(false)
  take()
  await bridged
  expect([taken, side.closed]).toEqual([['logout'], true])
})

test('a side that takes nothing does not hold the connection for ever', async () => {
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  const { side } = slowSide()
  const guest = leavingGuest('logout')
  const bridged = bridge(side, guest)
  if (!guest.closed) await once(guest, 'close')
  vi.advanceTimersByTime(5_000)
  await bridged
  expect(side.closed).toBe(true)
})

test('a WebSocket is closed with its handshake after the last message', async () => {
  const server = new WebSocketServer({ host: '127.0.0.1', port: 0 })
  await once(server, 'listening')
  server.on('connection', (socket) => void bridge(createWebSocketStream(socket), leavingGuest('logout')))
  const client = new WebSocket(`ws://127.0.0.1:${(server.address() as AddressInfo).port}`)
  const messages: string[] = []
  client.on('message', (data: Buffer) => messages.push(data.toString()))
  const [code] = (await once(client, 'close')) as [number]
  // 1006 would be a connection that broke (RFC 6455, section 7.1.5).
  expect([messages, code]).toEqual([['logout'], 1005])
  server.close()
})
