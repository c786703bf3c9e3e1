import { credentials } from '@grpc/grpc-js'
import { afterEach, beforeEach, expect, test } from 'vitest'
import { silentLogger } from '../../../src/core/context.ts'
import type { NodeDaemonServiceClient } from '../../../src/grpc/gen/limiquantix/node/v1/NodeDaemonService.ts'
import { loadNodeDaemonService } from '../../../src/grpc/load-service.ts'
import { startGrpcServer, type GrpcServer } from '../../../src/grpc/server.ts'
import { startSilentProxy, type SilentProxy } from '../../control-plane/silent-proxy.ts'
import { until } from '../../support/until.ts'
import { ask } from './client.ts'
import { fakeServices, VM_ID } from './fake-services.ts'

const Client = loadNodeDaemonService()
const KEEPALIVE = { everyMs: 100, withinMs: 1_000 }

let server: GrpcServer
let proxy: SilentProxy
let client: NodeDaemonServiceClient
let streams: { begun: number; ended: number }
let callSignal: AbortSignal | undefined

beforeEach(async () => {
  streams = { begun: 0, ended: 0 }
  callSignal = undefined
  const services = fakeServices({
    vms: {
      start: (_vmId, signal) => {
        callSignal = signal
        return new Promise<never>(() => undefined)
      },
    },
    events: {
      read: async function* (signal) {
        streams.begun++
        try {
          await new Promise((_resolve, reject) => {
            signal.addEventListener('abort', () => reject(signal.reason as Error))
          })
          yield* []
        } finally {
          streams.ended++
        }
      },
    },
  })
  server = await startGrpcServer({
    services,
    listenAddresses: ['127.0.0.1:0'],
    log: silentLogger,
    keepalive: KEEPALIVE,
  })
  proxy = await startSilentProxy(`http://127.0.0.1:${server.ports[0]}`)
  client = new Client(new URL(proxy.url).host, credentials.createInsecure())
})
afterEach(async () => {
  client.close()
  await proxy.close()
  server.forceClose()
})

const beginStream = () => {
  const before = streams.begun
  const stream = client.StreamEvents({})
  stream.on('error', () => undefined).resume()
  return until(async () => streams.begun > before)
}

test(
  'a stream whose control plane is behind a dropped link ends, and so does the signal of a call',
  { timeout: 60_000 },
  async () => {
    await beginStream()
    client.StartVM({ vmId: VM_ID }, () => undefined)
    const signal = await until(async () => callSignal)
    proxy.silence()
    await until(async () => streams.ended === 1)
    await until(async () => signal.aborted)
    expect(signal.reason).toMatchObject({ reason: 'CANCELLED' })
  },
)

test('a stream with nothing to tell stays while its control plane answers pings', { timeout: 60_000 }, async () => {
  await beginStream()
  // Other connections that fall silent, one after the other, are the clock: each takes a whole period to be found out.
  for (let period = 1; period <= 2; period++) {
    const other = await startSilentProxy(`http://127.0.0.1:${server.ports[0]}`)
    const caller = new Client(new URL(other.url).host, credentials.createInsecure())
    caller
      .StreamEvents({})
      .on('error', () => undefined)
      .resume()
    await until(async () => streams.begun === 1 + period)
    other.silence()
    await until(async () => streams.ended === period)
    caller.close()
    await other.close()
  }
  expect(streams).toEqual({ begun: 3, ended: 2 })
  expect(await ask(client, client.HealthCheck, {})).toMatchObject({ healthy: true })
})
