import { mkdtemp, rm } from 'node:fs/promises'
import { request } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { callerOf } from '../../../src/http/audit.ts'
import { startHttpServer } from '../../../src/http/server.ts'
import { sendAndReset } from '../../support/send-and-reset.ts'
import { memoryTrail } from '../audit/memory-trail.ts'
import { fakeServices, VM_ID } from '../grpc/fake-services.ts'

const START = `/api/v1/vms/${VM_ID}/start`

test.each([true, false])(
  'a peer that is gone before it is accepted is served nothing (allow_from: %s)',
  async (some) => {
    const services = fakeServices()
    const { trail, events } = memoryTrail()
    const server = await startHttpServer({
      services,
      listen: { host: '127.0.0.1', port: 0 },
      log: silentLogger,
      audit: trail,
      ...(some ? { allowPeer: (address) => address === '127.0.0.1' } : {}),
    })
    sendAndReset(server.port, Buffer.from(`POST ${START} HTTP/1.1\r\nHost: x\r\nLimiquantix-User: root\r\n\r\n`))
    // Accepted after it.
    expect((await fetch(`${server.address}/healthz`)).status).toBe(200)
    expect(services.calls.filter(({ method }) => method.includes('start'))).toEqual([])
    expect(events).toEqual([])
    await server.close(100)
  },
)

test('the unix socket needs no address, and only there the user who asks is believed', async () => {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-http-'))
  const { trail, events } = memoryTrail()
  const listen = { path: path.join(directory, 'agent.sock') }
  const server = await startHttpServer({
    services: fakeServices(),
    listen,
    log: silentLogger,
    audit: trail,
    allowPeer: () => false,
  })
  const status = await new Promise((resolve, reject) => {
    const headers = { 'limiquantix-user': 'alice' }
    const call = request({ socketPath: listen.path, method: 'POST', path: START, headers }, (response) => {
      response.resume().once('end', () => resolve(response.statusCode))
    })
    call.on('error', reject).end()
  })
  expect(status).toBe(204)
  for (const { caller } of events as { caller: object }[]) expect(caller).toEqual({ via: 'unix', user: 'alice' })
  expect(events).toHaveLength(2)
  await server.close(100)
  await rm(directory, { recursive: true })
  const gone = { raw: { socket: {} }, headers: { 'limiquantix-user': 'root' } } as unknown as Parameters<
    typeof callerOf
  >[0]
  expect(callerOf(gone, false)).toEqual({ via: 'http', peer: 'gone' })
})
