import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, cp, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server, type ServerResponse } from 'node:http'
import { createServer as createNetServer, type AddressInfo, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeAll, beforeEach, describe, expect, inject, it } from 'vitest'
import { SERVICE_NAME } from '../../../src/grpc/load-service.ts'
import { run } from '../../../src/platform/exec.ts'
import { NodeClient } from '../../control-plane/node-client.ts'
import { startStandInControlPlane } from '../../control-plane/stand-in.ts'
import { startAgent, type AgentProcess } from '../../support/agent-process.ts'
import { askReflection } from '../../support/reflection-client.ts'
import { until } from '../../support/until.ts'
import { moments } from '../moments.ts'

const ROOT = path.join(import.meta.dirname, '../../..')
const NO_LIBVIRT = { hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' } }

let directory: string
/** The launcher of the agent under test. */
let program: string
const open: (() => unknown)[] = []

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-agent-'))
  await chmod(directory, 0o711)
})
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
  await rm(directory, { recursive: true, force: true })
})

async function start(config: object = NO_LIBVIRT): Promise<AgentProcess> {
  const settings = { ...config, downloads: { allow_private_addresses: true } }
  const agent = await startAgent({ directory, config: settings, program })
  open.push(() => agent.stop())
  return agent
}

function connect(agent: AgentProcess): NodeClient {
  const client = new NodeClient(agent.grpcAddress)
  open.push(() => client.close())
  return client
}

const get = async (url: string): Promise<{ status: number; body: Record<string, unknown> }> => {
  const answer = await fetch(url, { signal: AbortSignal.timeout(10_000) })
  return { status: answer.status, body: (await answer.json()) as Record<string, unknown> }
}

/** The launcher beside a bundle of this checkout, as `npm run build` and packages put them. */
async function bundled(home: string): Promise<string> {
  await run({ file: process.execPath, args: [path.join(ROOT, 'scripts/build.ts'), home], timeoutMs: 60_000 })
  await cp(path.join(ROOT, 'bin'), path.join(home, 'bin'), { recursive: true })
  return path.join(home, 'bin/limiquantix-node')
}

// What is installed; the sources, which every other test starts, in host-faults.
describe.each(
  moments([
    ['its bundle', bundled],
    ['its sources', () => Promise.resolve(path.join(ROOT, 'bin/limiquantix-node'))],
  ] as const),
)('the agent, started from %s', (_from, launcher) => {
  beforeAll(async () => {
    const home = await mkdtemp(path.join(tmpdir(), 'lqx-bundle-'))
    program = await launcher(home)
    return () => rm(home, { recursive: true })
  })

  describe('without libvirt', () => {
    it('tells tools such as grpcurl what it serves', async () => {
      const agent = await start()
      for (const version of ['v1', 'v1alpha'] as const) {
        const [services, file] = await askReflection(agent.grpcAddress, version, [
          { listServices: '*' },
          { fileContainingSymbol: SERVICE_NAME },
        ])
        expect(services?.listServicesResponse?.service.map(({ name }) => name)).toContain(SERVICE_NAME)
        expect(file?.fileDescriptorResponse?.fileDescriptorProto).not.toHaveLength(0)
      }
    })

    it('serves, says that it is not healthy, and calls no VM missing', async () => {
      const agent = await start()
      const node = connect(agent)
      expect(await node.call('HealthCheck', {})).toMatchObject({ healthy: false, hypervisor: 'libvirt/QEMU' })
      const failed = await node.call('GetVMStatus', { vmId: randomUUID() }).catch((error: unknown) => error)
      expect(failed).toMatchObject({ status: 14 })
      expect(String(failed)).not.toMatch(/not found|NotFound|nodomain/i)
      expect((await get(`${agent.httpUrl}/readyz`)).status).toBe(200)
    })

    it('ends with 0 on SIGTERM and can be started again at once', async () => {
      const agent = await start()
      expect(await agent.stop()).toBe(0)
      const again = await start()
      expect((await get(`${again.httpUrl}/healthz`)).status).toBe(200)
    })

    it('refuses a state directory that another agent holds, but not one of an agent that was killed', async () => {
      const first = await start()
      await expect(startAgent({ directory, config: NO_LIBVIRT })).rejects.toThrow(/STATE_DIR_BUSY/)
      first.kill('SIGKILL')
      await first.exited
      const second = await start()
      expect((await get(`${second.httpUrl}/healthz`)).status).toBe(200)
    })

    it('ends with the reason when a port is taken', async () => {
      const first = await start()
      const other = path.join(directory, 'other')
      const config = {
        ...NO_LIBVIRT,
        server: { listen_address: first.grpcAddress, http: { listen_address: '127.0.0.1:0' } },
      }
      await expect(startAgent({ directory: other, config })).rejects.toThrow(/LISTEN_FAILED/)
    })
  })

  describe('state that survives', () => {
    it('finds its pools again after SIGKILL, without a control plane', async () => {
      const poolId = randomUUID()
      const poolPath = path.join(directory, 'pool')
      const first = await start()
      const init = { poolId, type: 'STORAGE_POOL_TYPE_LOCAL_DIR', config: { local: { path: poolPath } } }
      await connect(first).call('InitStoragePool', init)
      first.kill('SIGKILL')
      await first.exited
      const second = await start()
      const node = connect(second)
      const info = await node.call<{ mountPath: string; totalBytes: number }>('GetStoragePoolInfo', { poolId })
      expect(info.mountPath).toBe(poolPath)
      await node.call('InitStoragePool', init)
      const { pools } = await node.call<{ pools: { poolId: string }[] }>('ListStoragePools', {})
      expect(pools.map((pool) => pool.poolId)).toEqual([poolId])
    })

    it('finishes a download under the same job id after SIGKILL in its middle, with the right bytes and no leftovers', async () => {
      const image = await qcow2Image()
      const server = await imageServer(image)
      const poolId = randomUUID()
      const poolPath = path.join(directory, 'pool')
      const first = await start()
      const node = connect(first)
      await node.call('InitStoragePool', {
        poolId,
        type: 'STORAGE_POOL_TYPE_LOCAL_DIR',
        config: { local: { path: poolPath } },
      })
      server.hold = true
      const answer = await fetch(`${first.httpUrl}/api/v1/images/download`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({
          catalogId: 'tiny',
          imageId: randomUUID(),
          url: `${server.url}/tiny.qcow2`,
          targetDir: path.join(poolPath, 'cloud-images'),
          poolId,
          checksum: createHash('sha256').update(image).digest('hex'),
        }),
      })
      expect(answer.status).toBe(200)
      const { jobId } = (await answer.json()) as { jobId: string }
      await until(
        async () => (await get(`${first.httpUrl}/api/v1/images/download/${jobId}`)).body['bytesDownloaded'] !== 0,
      )
      first.kill('SIGKILL')
      await first.exited
      server.hold = false
      const second = await start()
      // Known from the first moment on: a poller that gets 404 never learns the end.
      expect((await get(`${second.httpUrl}/api/v1/images/download/${jobId}`)).status).toBe(200)
      const done = await until(async () => {
        const { body } = await get(`${second.httpUrl}/api/v1/images/download/${jobId}`)
        return body['status'] === 'completed' || body['status'] === 'failed' ? body : undefined
      })
      expect(done).toMatchObject({ status: 'completed', bytesDownloaded: image.length, progressPercent: 100 })
      expect(await readFile(String(done['targetPath']))).toEqual(image)
      const names = await readdir(path.join(poolPath, 'cloud-images'))
      expect(names.filter((name) => name.endsWith('.lqxtmp'))).toEqual([])
    })

    it('keeps the node id and reports live pool observations to a control plane', async () => {
      const controlPlane = await startStandInControlPlane({ heartbeatIntervalSecs: 5 })
      open.push(() => controlPlane.close())
      const config = { ...NO_LIBVIRT, control_plane: { address: controlPlane.url, registration_enabled: true } }
      const first = await start(config)
      const poolId = randomUUID()
      const init = {
        poolId,
        type: 'STORAGE_POOL_TYPE_LOCAL_DIR',
        config: { local: { path: path.join(directory, 'pool') } },
      }
      await connect(first).call('InitStoragePool', init)
      const withPool = (body: unknown) => JSON.stringify(body).includes(poolId)
      const before = await controlPlane.waitForHeartbeatThat(withPool, AbortSignal.timeout(60_000))
      await first.stop()
      const next = controlPlane.waitForHeartbeat(AbortSignal.timeout(60_000))
      await start(config)
      const after = await next
      expect(after.nodeId).toBe(before.nodeId)
      // Known, looked at and healthy in the very first heartbeat after the restart.
      expect(after.storagePools).toMatchObject([{ poolId, health: 1 }])
      expect(controlPlane.violations).toEqual([])
    })
  })
})

describe('the agent and libvirtd', () => {
  beforeAll(() => {
    program = path.join(ROOT, 'bin/limiquantix-node')
  })
  const libvirtDir = inject('libvirtDir')

  it('answers HealthCheck from memory while libvirtd accepts connections and never answers', async () => {
    const socket = path.join(directory, 'libvirt-sock')
    const hung = createNetServer().listen(socket)
    await once(hung, 'listening')
    const accepted = once(hung, 'connection').then(([connection]: unknown[]) =>
      open.push(() => (connection as Socket).destroy()),
    )
    open.push(() => hung.close())
    const agent = await start({ hypervisor: { libvirt_uri: `qemu+unix:///system?socket=${socket}` } })
    const node = connect(agent)
    await accepted
    // Who waited for libvirtd would wait longer: 15 s for an answer, 30 s for a connection.
    expect(await node.call('HealthCheck', {}, 10_000)).toMatchObject({ healthy: false })
    await expect(node.call('ListVMs', {}, 10_000)).rejects.toMatchObject({ status: 14 })
  })

  it.skipIf(libvirtDir === undefined)('says that a VM is missing only in the word of libvirt', async () => {
    const agent = await start({
      hypervisor: { libvirt_uri: `qemu+unix:///system?socket=${libvirtDir}/run/libvirt-sock` },
    })
    const node = connect(agent)
    await until(async () => (await node.call<{ healthy: boolean }>('HealthCheck', {})).healthy)
    expect(await node.call('ListVMs', {})).toHaveProperty('vms')
    const missing = await node.call('GetVMStatus', { vmId: randomUUID() }).catch((error: unknown) => error)
    expect(String(missing)).toMatch(/code = NotFound desc = VM not found: /)
  })
})

async function qcow2Image(): Promise<Buffer> {
  const raw = path.join(directory, 'tiny.raw')
  const file = path.join(directory, 'tiny.qcow2')
  // Random, so that it is as large in qcow2; several MiB, so that it arrives in more than one piece.
  await writeFile(raw, randomBytes(8 * 1024 * 1024))
  await run({ file: 'qemu-img', args: ['convert', '-f', 'raw', '-O', 'qcow2', raw, file], timeoutMs: 30_000 })
  return readFile(file)
}

interface ImageServer {
  readonly url: string
  /** While true, only the first half of an image is sent and the connection stays open. */
  hold: boolean
}

async function imageServer(image: Buffer): Promise<ImageServer> {
  const state = { url: '', hold: false }
  const server: Server = createServer((_request, response: ServerResponse) => {
    response.writeHead(200, { 'content-length': image.length, 'content-type': 'application/octet-stream' })
    if (state.hold) response.write(image.subarray(0, image.length / 2))
    else response.end(image)
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  open.push(() => {
    server.closeAllConnections()
    server.close()
  })
  state.url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return state
}
