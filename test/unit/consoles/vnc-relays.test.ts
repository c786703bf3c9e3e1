import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { once } from 'node:events'
import { connect, createServer, type AddressInfo, type Server, type Socket } from 'node:net'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { relayPlace } from '../../../src/consoles/relay-address.ts'
import { ConsoleConnections, type ConnectionLimits } from '../../../src/consoles/connections.ts'
import { VncRelays, type RelayOptions } from '../../../src/consoles/vnc-relays.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { untilStill } from '../../support/until-still.ts'
import { until } from '../../support/until.ts'
import { writePieces } from '../../support/write-pieces.ts'

const VM = '11111111-2222-4333-8444-555555555555'
const GREETING = 'RFB 003.008\n'

let guest: Server
let atGuest: Socket[]
let connections: ConsoleConnections
let relays: VncRelays

const relaysWith = (options: Partial<RelayOptions & ConnectionLimits> = {}) => {
  connections?.close()
  connections = new ConsoleConnections({ maxTotal: 64, ...options })
  relays = new VncRelays({ firstPort: 26_000, lastPort: 26_099, connections, log: silentLogger, ...options })
  return connections
}
const target = () => ({ host: '127.0.0.1', port: (guest.address() as AddressInfo).port })
const open = (vmId = VM, caller = '127.0.0.1') =>
  relays.open({ vmId, target: target(), listenAddress: '127.0.0.1', isCaller: (peer) => peer === caller })

async function dial(port: number, localAddress = '127.0.0.1'): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port, localAddress })
  // A relay that turns somebody away may do so with a reset.
  socket.on('error', () => undefined)
  await once(socket, 'connect')
  return socket
}
const refused = (port: number) =>
  dial(port).then(
    () => false,
    (error: NodeJS.ErrnoException) => error.code === 'ECONNREFUSED',
  )
const gone = async (socket: Socket) => {
  socket.resume()
  if (!socket.closed) await once(socket, 'close')
}
const textOf = async (socket: Socket) => String((await once(socket, 'data'))[0])

beforeEach(async () => {
  atGuest = []
  guest = createServer((socket) => {
    atGuest.push(socket)
    socket.on('error', () => undefined)
    socket.write(GREETING)
  }).listen(0, '127.0.0.1')
  await once(guest, 'listening')
  relaysWith()
})
afterEach(() => {
  connections.close()
  for (const socket of atGuest) socket.destroy()
  guest.close()
})

test('carries one connection both ways, and no second one', async () => {
  const port = await open()
  const client = await dial(port)
  expect(await textOf(client)).toBe(GREETING)
  client.write('hello')
  expect(await textOf(atGuest[0] as Socket)).toBe('hello')
  expect(await refused(port)).toBe(true)
  client.end()
  await gone(atGuest[0] as Socket)
  expect(connections.vms().size).toBe(0)
})

test('a stranger is turned away and does not use it up', async () => {
  const port = await open()
  for (let n = 0; n < 3; n++) await gone(await dial(port, '127.0.0.2'))
  expect(atGuest).toHaveLength(0)
  expect(await textOf(await dial(port))).toBe(GREETING)
})

test('of two that come at once one is served', async () => {
  const port = await open()
  const clients = await Promise.allSettled([dial(port), dial(port), dial(port)])
  await until(async () => atGuest.length > 0)
  const connected = clients.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : []))
  await until(async () => connected.filter((socket) => !socket.closed).length === 1)
  expect(atGuest).toHaveLength(1)
})

test('ends when nobody comes within its window', async () => {
  relaysWith({ windowMs: 50 })
  const port = await open()
  await until(async () => connections.vms().size === 0)
  expect(await refused(port)).toBe(true)
})

test('ends with the guest, with the VM and with the agent', async () => {
  const ends: (() => void)[] = [
    () => atGuest.at(-1)?.end('bye'),
    () => connections.closeOf(VM),
    () => connections.close(),
  ]
  for (const end of ends) {
    const client = await dial(await open())
    await textOf(client)
    end()
    await gone(client)
    expect(connections.vms().size).toBe(0)
  }
  const waiting = relaysWith()
  const port = await open()
  waiting.closeOf('another VM')
  expect(connections.vms().size).toBe(1)
  waiting.closeOf(VM)
  expect(await refused(port)).toBe(true)
})

test('what the guest sent before it ended arrives', async () => {
  const client = await dial(await open())
  await textOf(client)
  const all = Buffer.alloc(3_000_000, 'x')
  atGuest[0]?.end(all)
  let bytes = 0
  for await (const chunk of client as AsyncIterable<Buffer>) bytes += chunk.length
  expect(bytes).toBe(all.length)
})

test('a viewer that reads nothing holds the guest back, not the memory of the agent', async () => {
  const client = await dial(await open())
  await textOf(client)
  client.pause()
  const socket = atGuest[0] as Socket
  const written = writePieces(socket, 64)
  expect(await untilStill(() => written.taken)).toBeLessThan(64)
  client.resume()
  await written.all
})

test('ends when it cannot take a connection', async () => {
  const { promise: listening, resolve } = Promise.withResolvers<Server>()
  const tell = (message: unknown) => resolve((message as { server: Server }).server)
  subscribe('tracing:net.server.listen:asyncEnd', tell)
  const port = await open()
  const server = await listening
  unsubscribe('tracing:net.server.listen:asyncEnd', tell)
  expect((server.address() as AddressInfo).port).toBe(port)
  server.emit('error', Object.assign(new Error('accept EMFILE'), { code: 'EMFILE' }))
  expect(connections.vms().size).toBe(0)
  expect(await refused(port)).toBe(true)
})

test('a console that does not answer ends the connection', async () => {
  const port = await relays.open({
    vmId: VM,
    target: { path: '/nowhere/vnc.sock' },
    listenAddress: '127.0.0.1',
    isCaller: () => true,
  })
  await gone(await dial(port))
  expect(connections.vms().size).toBe(0)
})

test('there are limits of the host and of each VM, and ports that are taken are left out', async () => {
  relaysWith({ maxTotal: 3, maxPerVm: 2, firstPort: 26_200, lastPort: 26_203 })
  const taken = createServer().listen(26_200, '127.0.0.1')
  await once(taken, 'listening')
  expect([await open(), await open()]).toEqual([26_201, 26_202])
  await expect(open()).rejects.toMatchObject({ reason: 'CONSOLE_LIMIT', message: expect.stringContaining(VM) })
  await open('another')
  await expect(open('a third')).rejects.toMatchObject({ reason: 'CONSOLE_LIMIT' })
  relaysWith({ firstPort: 26_200, lastPort: 26_200 })
  await expect(open()).rejects.toMatchObject({ reason: 'CONSOLE_UNAVAILABLE' })
  expect(connections.vms().size).toBe(0)
  taken.close()
})

test.each([
  [undefined, '192.0.2.9', '127.0.0.1', '127.0.0.1', true],
  ['127.0.0.1', '192.0.2.9', '127.0.0.1', '127.0.0.5', true],
  ['127.0.0.1', '127.0.0.2', '127.0.0.2', '192.0.2.9', false],
  ['::1', '', '127.0.0.1', '::1', true],
  ['192.0.2.10', '192.0.2.9', '192.0.2.9', '192.0.2.10', true],
  ['::ffff:192.0.2.10', '192.0.2.9', '192.0.2.9', '192.0.2.10', true],
  ['192.0.2.10', '192.0.2.9', '192.0.2.9', '192.0.2.11', false],
  ['192.0.2.10', '192.0.2.9', '192.0.2.9', '127.0.0.1', false],
])('asked for by %s on a host with %s: listens on %s, and takes %s: %s', (caller, own, listens, peer, taken) => {
  const place = relayPlace(caller, own)
  expect(place?.listenAddress).toBe(listens)
  expect(place?.isCaller(peer)).toBe(taken)
})

test('without a management address there is no relay for other machines', () => {
  expect(relayPlace('192.0.2.10', '')).toBeUndefined()
})
