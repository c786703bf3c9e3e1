import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { protoPath as healthProto } from 'grpc-health-check'
import { describe, expect, test } from 'vitest'
import { SERVICE_NAME } from '../../../src/grpc/load-service.ts'
import { askReflection } from '../../support/reflection-client.ts'
import { startRig } from './client.ts'

const OPTIONS = { longs: Number, enums: String, defaults: true, oneofs: true }

type AnyClient = grpc.Client & Record<string, (...args: never[]) => unknown>

function connect(definition: grpc.ServiceDefinition, target: string): AnyClient {
  const Client = grpc.makeGenericClientConstructor(definition, 'S')
  return new Client(target, grpc.credentials.createInsecure()) as unknown as AnyClient
}

const health = loadSync(healthProto, OPTIONS)['grpc.health.v1.Health'] as grpc.ServiceDefinition

describe('grpc.health.v1.Health', () => {
  const check = (client: AnyClient, service: string) =>
    new Promise<{ status?: string; code?: number }>((resolve) => {
      const done = (error: grpc.ServiceError | null, answer?: { status: string }) =>
        resolve(error ? { code: error.code } : { ...answer })
      void (client['check'] as (request: object, callback: typeof done) => unknown).call(client, { service }, done)
    })

  test('is SERVING once the agent is ready', async () => {
    let ready = false
    await using rig = await startRig({ host: { readiness: () => ({ ready, waitingFor: [] }) } })
    const client = connect(health, rig.target)
    expect(await check(client, '')).toEqual({ status: 'NOT_SERVING' })
    ready = true
    expect(await check(client, '')).toEqual({ status: 'SERVING' })
    expect(await check(client, SERVICE_NAME)).toEqual({ status: 'SERVING' })
    expect(await check(client, 'other')).toEqual({ code: grpc.status.NOT_FOUND })
    client.close()
  })

  test('a watcher learns of the drain and does not hold it up', async () => {
    await using rig = await startRig()
    const client = connect(health, rig.target)
    const stream = (client['watch'] as (request: object) => grpc.ClientReadableStream<{ status: string }>).call(
      client,
      {
        service: '',
      },
    )
    const seen: string[] = []
    const { promise: first, resolve } = Promise.withResolvers<void>()
    const ended = new Promise<grpc.ServiceError>((end) =>
      stream.on('error', (error) => end(error as grpc.ServiceError)),
    )
    stream.on('data', (message: { status: string }) => {
      seen.push(message.status)
      resolve()
    })
    await first
    await rig.server.drain(60_000)
    expect((await ended).code).toBe(grpc.status.UNAVAILABLE)
    expect(seen).toEqual(['SERVING', 'NOT_SERVING'])
    client.close()
  })
})

describe.each(['v1', 'v1alpha'] as const)('grpc.reflection.%s', (version) => {
  const askAll = (target: string, questions: object[]) => askReflection(target, version, questions)

  test('lists the services and describes them', async () => {
    await using rig = await startRig()
    const [services, file, missing] = await askAll(rig.target, [
      { listServices: '*' },
      { fileContainingSymbol: SERVICE_NAME },
      { fileContainingSymbol: 'no.such.Symbol' },
    ])
    const names = services?.listServicesResponse?.service.map((service) => service.name)
    expect(names).toEqual(expect.arrayContaining([SERVICE_NAME, 'grpc.health.v1.Health']))
    const files = file?.fileDescriptorResponse?.fileDescriptorProto ?? []
    const descriptors = Buffer.concat(files).toString('latin1')
    for (const word of ['CreateVMOnNodeRequest', 'cpu_threads_per_core', 'ListDownloads'])
      expect(descriptors).toContain(word)
    expect(missing?.errorResponse?.errorCode).toBe(grpc.status.NOT_FOUND)
  })

  test('bytes that are no question end the stream, not the server', async () => {
    await using rig = await startRig()
    const client = new grpc.Client(rig.target, grpc.credentials.createInsecure())
    const same = (bytes: Buffer) => bytes
    const stream = client.makeBidiStreamRequest(
      `/grpc.reflection.${version}.ServerReflection/ServerReflectionInfo`,
      same,
      same,
    )
    const ended = new Promise<grpc.ServiceError>((resolve) =>
      stream.on('error', (e) => resolve(e as grpc.ServiceError)),
    )
    stream.resume()
    stream.write(Buffer.from('0aff', 'hex'))
    expect((await ended).code).toBe(grpc.status.INTERNAL)
    client.close()
    expect(await askAll(rig.target, [{ listServices: '*' }])).toHaveLength(1)
  })
})
