import { credentials, status } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { peerAddress } from '../../../src/grpc/peer-filter.ts'
import { startGrpcServer } from '../../../src/grpc/server.ts'
import { startHttpServer } from '../../../src/http/server.ts'
import { ask, failure } from './client.ts'
import { fakeServices } from './fake-services.ts'

test.each([
  ['192.0.2.1:5000', '192.0.2.1'],
  ['[2001:db8::1]:5000', '2001:db8::1'],
  ['2001:db8::1:5000', '2001:db8::1'],
  ['::ffff:192.0.2.1:5000', '::ffff:192.0.2.1'],
  ['unix:/run/agent.sock', undefined],
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
