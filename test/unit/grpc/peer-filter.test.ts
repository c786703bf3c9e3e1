import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { connect } from 'node:http2'
import { createServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { credentials, status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { peerAddress } from '../../../src/grpc/peer-filter.ts'
import { startGrpcServer } from '../../../src/grpc/server.ts'
import { startHttpServer } from '../../../src/http/server.ts'
import { sendAndReset } from '../../support/send-and-reset.ts'
import { until } from '../../support/until.ts'
import { memoryTrail } from '../audit/memory-trail.ts'
import { ask, failure, startRig } from './client.ts'
import { fakeServices, VM_ID } from './fake-services.ts'

test.each([
  ['192.0.2.1:5000', '192.0.2.1'],
  ['[2001:db8::1]:5000', '2001:db8::1'],
  ['2001:db8::1:5000', '2001:db8::1'],
  ['::ffff:192.0.2.1:5000', '::ffff:192.0.2.1'],
  ['unix:', undefined],
  ['unknown', undefined],
])('address of %s', (peer, address) => {
  expect(peerAddress(peer)).toBe(address)
})

test.each([
  [true, status.OK],
  [false, status.PERMISSION_DENIED],
])('gRPC of an allowed (%s) peer', async (allowed, code) => {
  const services = fakeServices()
  const seen: string[] = []
  const server = await startGrpcServer({
    services,
    listenAddresses: ['127.0.0.1:0'],
    log: silentLogger,
    allowPeer: (address) => {
      seen.push(address)
      return allowed
    },
  })
  const client = new (loadNodeDaemonService())(`127.0.0.1:${server.ports[0]}`, credentials.createInsecure())
  const call = ask(client, client.ListVMs, {})
  if (allowed) expect(await call).toMatchObject({ vms: [{}] })
  else expect((await failure(call)).code).toBe(code)
  expect(seen).toEqual(['127.0.0.1'])
  expect(services.calls).toHaveLength(allowed ? 1 : 0)
  client.close()
  await server.drain(1_000)
})

test.each(['TCP', 'unix'])('a peer over %s of which nothing is known', async (kind) => {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-grpc-'))
  const socket = path.join(directory, 'agent.sock')
  const services = fakeServices()
  const { trail, events } = memoryTrail()
  const server = await startGrpcServer({
    services,
    listenAddresses: ['127.0.0.1:0', `unix:${socket}`],
    log: silentLogger,
    audit: trail,
    allowPeer: (address) => address === '127.0.0.1',
  })
  const port = server.ports[0] ?? 0
  const client = new (loadNodeDaemonService())(`unix:${socket}`, credentials.createInsecure())
  if (kind === 'unix') await ask(client, client.StartVM, { vmId: VM_ID })
  else {
    sendAndReset(port, await bytesOf('StartVM'))
    // Accepted after it.
    const other = new (loadNodeDaemonService())(`127.0.0.1:${port}`, credentials.createInsecure())
    await ask(other, other.ListVMs, {})
    other.close()
  }
  expect(services.calls.some(({ method }) => method.includes('start'))).toBe(kind === 'unix')
  for (const { caller } of events as { caller: object }[]) expect(caller).toEqual({ via: 'unix' })
  client.close()
  await server.drain(1_000)
  await rm(directory, { recursive: true })
})

test('without a list of peers one that is gone is no local one in the audit log, and gets no relay', async () => {
  const { trail, events } = memoryTrail()
  await using rig = await startRig({}, trail)
  for (const method of ['StartVM', 'GetConsole'] as const)
    sendAndReset(Number(rig.target.split(':')[1]), await bytesOf(method))
  await until(async () => events.filter(({ type }) => type === 'result').length === 2)
  for (const { caller } of events as { caller: object }[]) expect(caller).toEqual({ via: 'grpc', peer: 'gone' })
  expect(rig.services.calls.map(({ method }) => method)).toEqual(['start'])
})

/** What a client sends on a new connection that calls at once. */
async function bytesOf(method: 'StartVM' | 'GetConsole'): Promise<Buffer> {
  const definition = loadNodeDaemonService().service[method]
  const message = definition.requestSerialize({ vmId: VM_ID })
  const frame = Buffer.concat([Buffer.alloc(5), message])
  frame.writeUInt32BE(message.length, 1)
  let sent = Buffer.alloc(0)
  const recorder = createServer().listen(0, '127.0.0.1')
  await once(recorder, 'listening')
  const session = connect(`http://127.0.0.1:${(recorder.address() as AddressInfo).port}`)
  session.on('error', () => undefined)
  const headers = { ':method': 'POST', ':path': definition.path, 'content-type': 'application/grpc', te: 'trailers' }
  const stream = session.request(headers).on('error', () => undefined)
  stream.end(frame)
  const [socket] = (await once(recorder, 'connection')) as [Socket]
  socket.on('data', (piece: Buffer) => (sent = Buffer.concat([sent, piece])))
  await until(async () => sent.includes(frame) && stream.writableFinished)
  session.destroy()
  await once(socket, 'close')
  recorder.close()
  return sent
}

test('HTTP of a peer that is not allowed gets no answer', async () => {
  const options = { services: fakeServices(), listen: { host: '127.0.0.1', port: 0 }, log: silentLogger }
  for (const allowed of [true, false]) {
    const server = await startHttpServer({ ...options, allowPeer: () => allowed })
    const answer = fetch(`${server.address}/healthz`)
    if (allowed) expect((await answer).status).toBe(200)
    else await expect(answer).rejects.toThrow()
    await server.close(100)
  }
})
