import { randomUUID } from 'node:crypto'
import { chmod, mkdtemp, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { afterAll, beforeAll, describe, expect, inject, test } from 'vitest'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)
const root = path.join(import.meta.dirname, '../../..')
const fixture = await readFile(path.join(root, 'fixtures/contract-schema.tsv'), 'utf8')
const METHODS = fixture.split('\n').flatMap((line) => (line.startsWith('rpc\t') ? [line.split('\t')[3] ?? ''] : []))

// What docs/vms.md says cannot be done on every host, and how the answer says why.
const REASONED: Readonly<Record<string, RegExp>> = {
  ConfigureNetworkPort: /Open vSwitch/,
  DeleteNetworkPort: /Open vSwitch/,
  GetNetworkPortStatus: /Open vSwitch/,
  ListNetworkPorts: /Open vSwitch/,
}

type Call = (request: object, ...rest: unknown[]) => grpc.ClientReadableStream<object>

describe.skipIf(missing !== undefined)('the whole table of the contract, on a real agent', () => {
  let directory: string
  let agent: AgentProcess
  let client: grpc.Client & Record<string, Call>
  let service: grpc.ServiceDefinition
  beforeAll(async () => {
    directory = await mkdtemp(path.join(tmpdir(), 'lqx-table-'))
    await chmod(directory, 0o711)
    const libvirt = `qemu+unix:///system?socket=${inject('libvirtDir')}/run/libvirt-sock`
    agent = await startAgent({
      directory,
      config: { hypervisor: { libvirt_uri: libvirt, domain_type: 'qemu', networks: { default: 'user' } } },
    })
    // From the proto alone: nothing of the agent's own code is in this client.
    const definition = loadSync('limiquantix/node/v1/node_daemon.proto', {
      includeDirs: [path.join(root, 'proto')],
      longs: Number,
      enums: String,
      defaults: true,
    })
    service = definition['limiquantix.node.v1.NodeDaemonService'] as grpc.ServiceDefinition
    const Client = grpc.makeGenericClientConstructor(service, 'NodeDaemonService')
    client = new Client(agent.grpcAddress, grpc.credentials.createInsecure()) as unknown as typeof client
    await until(async () => ((await answer('HealthCheck')) as { healthy?: boolean }).healthy)
  })
  afterAll(async () => {
    client.close()
    await agent.stop()
    await rm(directory, { recursive: true, force: true })
  })

  // Ids that name nothing here, so that no call changes anything of value.
  const request = () => ({
    vmId: randomUUID(),
    poolId: 'no-such-pool',
    volumeId: 'no-such-volume',
    jobId: 'no-such-job',
    snapshotId: 'none',
    portId: 'no-such-port',
    intervalSeconds: 1,
  })

  /** The answer, the first message of a stream, or the error. */
  async function answer(method: string): Promise<object | grpc.ServiceError> {
    const call = client[method]
    if (call === undefined) throw new Error(`the proto has no ${method}`)
    if (service[method]?.responseStream !== true)
      return new Promise<object>((resolve) =>
        call.call(client, request(), { deadline: Date.now() + 60_000 }, (error: object | null, response: object) =>
          resolve(error ?? response),
        ),
      )
    const stream = call.call(client, request())
    return new Promise<object>((resolve) => {
      const quiet = setTimeout(() => resolve({ quiet: true }), 3_000)
      const end = (value: object) => {
        clearTimeout(quiet)
        resolve(value)
      }
      stream.once('data', end)
      stream.on('error', end)
    }).finally(() => stream.cancel())
  }

  test('it has 46 methods', () => {
    expect(METHODS).toHaveLength(46)
  })

  test.each(METHODS)('%s is served', async (method) => {
    const given = await answer(method)
    if (!('code' in given) || !('metadata' in given)) return
    const { code, details, metadata } = given
    expect(metadata.get('limiquantix-reason'), details).toHaveLength(1)
    expect([grpc.status.INTERNAL, grpc.status.UNKNOWN], details).not.toContain(code)
    if (code === grpc.status.UNIMPLEMENTED) expect(details).toMatch(REASONED[method] ?? /^never$/)
  })
})
