import { mkdtemp, stat } from 'node:fs/promises'
import { createServer } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { credentials, status, type ServiceError } from '@grpc/grpc-js'
import { expect, test } from 'vitest'
import { silentLogger, type Logger } from '../../../src/core/context.ts'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { startGrpcServer } from '../../../src/grpc/server.ts'
import { ask, failure, startRig } from './client.ts'
import { fakeServices, VM_ID } from './fake-services.ts'

const never = () => new Promise<never>(() => undefined)

test('HealthCheck answers while every other call hangs', async () => {
  await using rig = await startRig({
    vms: { start: never, list: never },
    pools: { list: never },
    host: { facts: never },
  })
  const hanging = [
    rig.client.StartVM({ vmId: VM_ID }, () => undefined),
    rig.client.ListVMs({}, () => undefined),
    rig.client.ListStoragePools({}, () => undefined),
    rig.client.GetNodeInfo({}, () => undefined),
  ]
  expect(await ask(rig.client, rig.client.HealthCheck, {})).toMatchObject({ healthy: true })
  for (const call of hanging) call.cancel()
})

test('a caller that goes away fires the signal; the work goes on', async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<AbortSignal>()
  const { promise: release, resolve: finish } = Promise.withResolvers<void>()
  const { promise: finished, resolve: done } = Promise.withResolvers<string>()
  await using rig = await startRig({
    vms: {
      create: async (request, signal) => {
        enter(signal)
        await release
        done(request.vmId)
        return { vmId: request.vmId, created: true }
      },
    },
  })
  const call = rig.client.CreateVM({ vmId: VM_ID, name: 'x', spec: { cpuCores: 1, memoryMib: 64 } }, () => undefined)
  const signal = await entered
  call.cancel()
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  expect(signal.reason).toMatchObject({ reason: 'CANCELLED' })
  finish()
  expect(await finished).toBe(VM_ID)
})

test('a deadline that passes fires the signal', async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<AbortSignal>()
  await using rig = await startRig({
    vms: {
      start: (_vmId, signal) => {
        enter(signal)
        return never()
      },
    },
  })
  const answered = new Promise<ServiceError | null>((resolve) =>
    rig.client.StartVM({ vmId: VM_ID }, { deadline: Date.now() + 200 }, (error) => resolve(error)),
  )
  const signal = await entered
  if (!signal.aborted) await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve()))
  expect(signal.aborted).toBe(true)
  expect((await answered)?.code).toBe(status.DEADLINE_EXCEEDED)
})

test('the signal of a call that ended normally does not fire', async () => {
  let seen: AbortSignal | undefined
  await using rig = await startRig({
    vms: {
      start: async (_vmId, signal) => {
        seen = signal
      },
    },
  })
  await ask(rig.client, rig.client.StartVM, { vmId: VM_ID })
  // A second exchange on the same connection: by then the 'cancelled' event of the first has come.
  await ask(rig.client, rig.client.HealthCheck, {})
  rig.client.close()
  await rig.server.drain(1_000)
  expect(seen?.aborted).toBe(false)
})

test('a receiver that ends its event stream ends the iteration', async () => {
  const { promise: ended, resolve } = Promise.withResolvers<void>()
  await using rig = await startRig({
    events: {
      async *read(signal) {
        try {
          yield* []
          await new Promise<void>((stop) => signal.addEventListener('abort', () => stop()))
        } finally {
          resolve()
        }
      },
    },
  })
  const stream = rig.client.StreamEvents({})
  stream.on('error', () => undefined)
  stream.resume()
  await ask(rig.client, rig.client.HealthCheck, {})
  stream.cancel()
  await ended
})

test('drain ends streams with UNAVAILABLE, lets a running call finish and refuses new ones', async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>()
  const { promise: release, resolve: finish } = Promise.withResolvers<void>()
  await using rig = await startRig({
    vms: {
      start: async () => {
        enter()
        await release
      },
    },
  })
  const stream = rig.client.StreamEvents({})
  const streamEnd = new Promise<ServiceError>((resolve) => stream.on('error', (e) => resolve(e as ServiceError)))
  await new Promise((resolve) => stream.once('data', resolve))
  const running = ask(rig.client, rig.client.StartVM, { vmId: VM_ID })
  await entered
  const drained = rig.server.drain(60_000)
  expect(await streamEnd).toMatchObject({ code: status.UNAVAILABLE, details: expect.stringContaining('stopping') })
  finish()
  expect(await running).toEqual({})
  await drained
  expect((await failure(ask(rig.client, rig.client.HealthCheck, {}))).code).toBe(status.UNAVAILABLE)
})

test('drain ends at its deadline although a call hangs; twice is fine', async () => {
  const { promise: entered, resolve: enter } = Promise.withResolvers<void>()
  await using rig = await startRig({
    vms: {
      start: () => {
        enter()
        return never()
      },
    },
  })
  const running = failure(ask(rig.client, rig.client.StartVM, { vmId: VM_ID }))
  await entered
  await rig.server.drain(20)
  await rig.server.drain(20)
  expect((await running).code).not.toBe(status.OK)
})

test('several addresses, one of them a unix socket of its owner', async () => {
  const socket = path.join(await mkdtemp(path.join(tmpdir(), 'lqx-grpc-')), 'agent.sock')
  const listenAddresses = ['127.0.0.1:0', `unix:${socket}`]
  const server = await startGrpcServer({ services: fakeServices(), listenAddresses, log: silentLogger })
  expect(server.ports).toEqual([expect.any(Number), 0])
  expect((await stat(socket)).mode & 0o777).toBe(0o600)
  for (const target of [`127.0.0.1:${server.ports[0]}`, `unix:${socket}`]) {
    const client = new (loadNodeDaemonService())(target, credentials.createInsecure())
    expect(await ask(client, client.HealthCheck, {})).toMatchObject({ healthy: true })
    client.close()
  }
  await expect(
    startGrpcServer({ services: fakeServices(), listenAddresses: [`unix:${socket}`], log: silentLogger }),
  ).rejects.toMatchObject({ reason: 'LISTEN_FAILED' })
  await server.drain(1_000)
})

test('an address in use is LISTEN_FAILED naming it', async () => {
  const taken = createServer()
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve))
  const address = `127.0.0.1:${(taken.address() as { port: number }).port}`
  await expect(
    startGrpcServer({ services: fakeServices(), listenAddresses: [address], log: silentLogger }),
  ).rejects.toMatchObject({ reason: 'LISTEN_FAILED', message: expect.stringContaining(address) })
  taken.close()
})

test('log lines name the call and its object, and carry no secrets', async () => {
  const lines: string[] = []
  const write = (fields: object, message?: string) => void lines.push(JSON.stringify({ ...fields, message }))
  const log: Logger = { trace: write, debug: write, info: write, warn: write, error: write, child: () => log }
  const services = fakeServices({ vms: { start: () => Promise.reject(new TypeError('boom')) } })
  const server = await startGrpcServer({ services, listenAddresses: ['127.0.0.1:0'], log })
  const client = new (loadNodeDaemonService())(`127.0.0.1:${server.ports[0]}`, credentials.createInsecure())
  const spec = { cpuCores: 1, memoryMib: 64, cloudInit: { userData: 'password: hunter2' } }
  await ask(client, client.CreateVM, { vmId: VM_ID, name: 'x', spec })
  await failure(ask(client, client.CreateVM, { vmId: VM_ID, name: '', spec }))
  await failure(ask(client, client.StartVM, { vmId: VM_ID }))
  client.close()
  await server.drain(1_000)
  expect(lines.map((line) => JSON.parse(line) as object)).toMatchObject([
    { rpc: 'CreateVM', vmId: VM_ID, peer: expect.stringMatching(/^127/), message: 'call served' },
    { rpc: 'CreateVM', code: 'INVALID_ARGUMENT', reason: 'VM_SPEC_INVALID', requestId: expect.any(String) },
    { rpc: 'StartVM', reason: 'INTERNAL', stack: expect.stringContaining('boom') },
  ])
  expect(lines.join()).not.toContain('hunter2')
})
