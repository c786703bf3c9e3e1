import { mkdtemp, stat, writeFile } from 'node:fs/promises'
import { Agent, request } from 'node:http'
import { createRequire } from 'node:module'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { text } from 'node:stream/consumers'
import { expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import { startHttpServer } from '../../../src/http/server.ts'
import { fakeServices, VM_ID } from '../grpc/fake-services.ts'
import { startHttpRig } from './client.ts'

const socketPath = async () => path.join(await mkdtemp(path.join(tmpdir(), 'lqx-http-')), 'agent.sock')

function getOver(options: { socketPath: string } | { port: number; agent: Agent }, url: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const call = request({ ...options, path: url }, (response) => {
      response.resume()
      response.on('end', () => resolve(response.statusCode ?? 0))
    })
    call.on('error', reject)
    call.end()
  })
}

test('listens on a unix socket that only its owner may use, also over one left by a killed process', async () => {
  const where = await socketPath()
  const first = await startHttpServer({ services: fakeServices(), listen: { path: where }, log: silentLogger })
  expect(await getOver({ socketPath: where }, '/healthz')).toBe(200)
  expect((await stat(where)).mode & 0o777).toBe(0o600)
  await expect(
    startHttpServer({ services: fakeServices(), listen: { path: where }, log: silentLogger }),
  ).rejects.toMatchObject({ reason: 'LISTEN_FAILED' })
  await first.close()
})

test('a file that is no socket is left alone', async () => {
  const where = await socketPath()
  await writeFile(where, 'precious')
  await expect(
    startHttpServer({ services: fakeServices(), listen: { path: where }, log: silentLogger }),
  ).rejects.toMatchObject({ reason: 'LISTEN_FAILED' })
  expect((await stat(where)).size).toBe(8)
})

test('an address in use is LISTEN_FAILED', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const { port } = taken.address() as { port: number }
  await expect(
    startHttpServer({ services: fakeServices(), listen: { host: '127.0.0.1', port }, log: silentLogger }),
  ).rejects.toMatchObject({ reason: 'LISTEN_FAILED', message: expect.stringContaining(String(port)) })
  taken.close()
})

test('a body has to come in time; the answer to a request without one may take longer than that', async () => {
  const { promise: release, resolve } = Promise.withResolvers<void>()
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>()
  const services = fakeServices({
    vms: {
      start: async () => {
        enter()
        await release
      },
    },
  })
  const listen = { host: '127.0.0.1', port: 0 }
  const server = await startHttpServer({ services, listen, log: silentLogger, bodyTimeoutMs: 100 })
  const running = fetch(`${server.address}/api/v1/vms/${VM_ID}/start`, { method: 'POST' })
  await entered
  // It began later, so its end says that the time of the other one is over.
  const slow = connect(server.port, '127.0.0.1')
  slow.write(
    `POST /api/v1/vms/${VM_ID}/start HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n{`,
  )
  expect(await text(slow)).toMatch(/^HTTP\/1\.1 408 /)
  resolve()
  expect((await running).status).toBe(204)
  await server.close()
})

test('close ends with idle keep-alive connections open and lets a running request finish', async () => {
  const { promise: release, resolve } = Promise.withResolvers<void>()
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>()
  const rig = await startHttpRig({
    vms: {
      start: async () => {
        enter()
        await release
      },
    },
  })
  const agent = new Agent({ keepAlive: true })
  expect(await getOver({ port: rig.server.port, agent }, '/healthz')).toBe(200)
  const running = rig.fetch('POST', `/api/v1/vms/${VM_ID}/start`)
  await entered
  const closed = rig.server.close(60_000)
  resolve()
  expect((await running).status).toBe(204)
  await closed
  agent.destroy()
})

test('close cuts a request that hangs, at its deadline; twice is fine', async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>()
  const rig = await startHttpRig({
    vms: {
      start: () => {
        enter()
        return new Promise(() => undefined)
      },
    },
  })
  const running = rig.fetch('POST', `/api/v1/vms/${VM_ID}/start`).catch((error: unknown) => error)
  await entered
  await rig.server.close(20)
  await rig.server.close(20)
  expect(await running).toBeInstanceOf(Error)
})

test('a caller that hangs up fires the signal of its call and nothing else', async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<AbortSignal>()
  await using rig = await startHttpRig({
    vms: {
      start: (_vmId, signal) => {
        enter(signal)
        return new Promise(() => undefined)
      },
    },
  })
  const socket = connect(rig.server.port, '127.0.0.1', () => {
    socket.write(`POST /api/v1/vms/${VM_ID}/start HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n`)
  })
  const signal = await entered
  socket.destroy()
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  expect(signal.reason).toMatchObject({ reason: 'CANCELLED' })
  expect((await rig.fetch('GET', '/healthz')).status).toBe(200)
})

test('the signal does not fire when a request ends normally', async () => {
  let seen: AbortSignal | undefined
  await using rig = await startHttpRig({
    vms: {
      start: async (_vmId, signal) => {
        seen = signal
      },
    },
  })
  await rig.fetch('POST', `/api/v1/vms/${VM_ID}/start`)
  await rig.server.close()
  expect(seen?.aborted).toBe(false)
})

test('serving needs none of the schema compilers of fastify, which cost more to load than all the rest', async () => {
  await using rig = await startHttpRig()
  await rig.fetch('POST', '/api/v1/images/download', {})
  const loaded = Object.keys(createRequire(import.meta.url).cache)
  expect(loaded.filter((file) => file.includes('/node_modules/fastify/')).length).toBeGreaterThan(0)
  expect(
    loaded.filter((file) =>
      /node_modules\/(ajv|@fastify\/ajv-compiler|@fastify\/fast-json-stringify-compiler)\//.test(file),
    ),
  ).toEqual([])
})
