import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { chmod, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { createServer, type Server } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { run } from '../../../src/platform/exec.ts'
import type { FleetNode, FleetPool, FleetPoolKind } from '../../control-plane/fleet.ts'
import { downloadImage, type DownloadPoll } from '../../control-plane/image-download.ts'
import { startSilentProxy } from '../../control-plane/silent-proxy.ts'
import { startStandInControlPlane, type StandInControlPlane } from '../../control-plane/stand-in.ts'
import type { AgentProcess } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { GRPC_PORT, HTTP_PORT, loopbackAddress, startLoopbackAgent } from './loopback-agents.ts'

const address = loopbackAddress(9)

let directory: string
let cp: StandInControlPlane
let agent: AgentProcess
const open: (() => unknown)[] = []

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-link-'))
  await chmod(directory, 0o711)
  cp = await startStandInControlPlane({ heartbeatIntervalSecs: 5, nodeGrpcPort: GRPC_PORT })
  open.push(() => cp.close())
})
afterEach(async () => {
  await agent.stop()
  for (const close of open.splice(0).reverse()) await close()
  await rm(directory, { recursive: true, force: true })
})

const start = async (controlPlane = cp.url): Promise<void> => {
  agent = await startLoopbackAgent({ address, hostname: 'hv-link', controlPlane, directory })
}
const restart = async (signal: NodeJS.Signals): Promise<void> => {
  agent.kill(signal)
  await agent.exited
  await start()
}
const node = (): Promise<FleetNode> => until(() => Promise.resolve([...cp.fleet.nodes.values()][0]))
const poolPath = () => path.join(directory, 'pool')
const addPool = async (kind: FleetPoolKind = 'LOCAL_DIR', config: object = { local: { path: poolPath() } }) =>
  cp.fleet.addPool({ id: 'pool-1', name: 'one', kind, config, assignedNodeIds: [(await node()).id] })
const ready = (pool: FleetPool) => until(() => Promise.resolve(pool.phase === 'READY'))
const nextBeat = async () => {
  const seen = cp.heartbeats.length
  return until(() => Promise.resolve(cp.heartbeats[seen]))
}
describe('an agent with an assigned pool', { timeout: 180_000 }, () => {
  it('that is restarted or killed never makes the pool leave READY', async () => {
    await start()
    const pool = await addPool()
    await ready(pool)
    const phases = cp.fleet.phases.length
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await restart(signal)
      const beat = await nextBeat()
      expect(beat.storagePools).toMatchObject([{ poolId: pool.id, health: 1 }])
      await nextBeat()
    }
    expect(cp.fleet.phases.slice(phases)).toEqual([])
    expect(cp.violations).toEqual([])
  })

  it('keeps it through the amnesia of the control plane, and reports it to the new one', async () => {
    await start()
    const pool = await addPool()
    await ready(pool)
    const before = await node()
    cp.forgetEverything()
    const after = await node()
    expect(after.id).not.toBe(before.id)
    expect((await nextBeat()).storagePools).toMatchObject([{ poolId: pool.id, health: 1 }])
    // Made again there: it is here, so nothing has to be sent.
    const again = await addPool()
    await ready(again)
    expect(cp.fleet.phases.filter(({ poolId }) => poolId === again.id).at(-1)?.phase).toBe('READY')
  })

  it('keeps it when it is unassigned, deleted and sent again under another type, and refuses that one', async () => {
    await start()
    const pool = await addPool()
    await ready(pool)
    await writeFile(path.join(poolPath(), 'data'), 'precious')
    const stays = async () => {
      expect((await nextBeat()).storagePools).toMatchObject([{ poolId: pool.id, health: 1 }])
      expect(await readFile(path.join(poolPath(), 'data'), 'utf8')).toBe('precious')
    }
    pool.assignedNodeIds.length = 0
    await nextBeat()
    await stays()
    cp.fleet.pools.delete(pool.id)
    await nextBeat()
    await stays()

    const other = await addPool('NFS', { nfs: { server: '127.0.0.1', exportPath: '/none', version: '4.2' } })
    other.phase = 'READY'
    cp.connections?.closeAll()
    const refused = await cp.traffic.waitFor(
      ({ call, outcome }) => call === 'InitStoragePool' && outcome !== 'ok',
      AbortSignal.timeout(30_000),
    )
    expect(refused.outcome).toBe('FailedPrecondition')
    await until(() => Promise.resolve(cp.connections?.log.some((line) => line.includes('another configuration'))))
    await stays()
    expect(cp.violations).toEqual([])
  })
})

describe('a half-open connection', { timeout: 120_000 }, () => {
  it('costs one beat: the next one goes over a new connection', async () => {
    const proxy = await startSilentProxy(cp.url)
    open.push(() => proxy.close())
    await start(proxy.url)
    await nextBeat()
    const beats = cp.heartbeats.length
    proxy.silence()
    await until(() => Promise.resolve(agent.log.some(({ msg }) => msg === 'heartbeat failed')))
    await until(() => Promise.resolve(cp.heartbeats.length > beats))
    // Interval 5 s, deadline 4.5 s: the beat that met silence and the one after it.
    expect(agent.log.filter(({ msg }) => msg === 'heartbeat failed')).toHaveLength(1)
    expect(cp.fleet.nodes.size).toBe(1)
    expect(cp.requests.filter(({ method }) => method === 'RegisterNode')).toHaveLength(1)
  })
})

describe('a download that a control plane polls', { timeout: 120_000 }, () => {
  it('goes on under the same job through a kill of the agent', async ({ signal }) => {
    await start()
    const pool = await addPool()
    await ready(pool)
    const image = await qcow2Image()
    const server = await imageServer(image)
    server.hold = true
    const polls: DownloadPoll[] = []
    const job = {
      catalogId: 'tiny',
      imageId: randomUUID(),
      url: `${server.url}/tiny.qcow2`,
      targetDir: path.join(poolPath(), 'cloud-images'),
      poolId: pool.id,
      checksum: createHash('sha256').update(image).digest('hex'),
    }
    const record = downloadImage(`http://${address}:${HTTP_PORT}`, job, {
      signal,
      periodMs: 200,
      onPoll: (poll) => polls.push(poll),
    })
    await until(() => Promise.resolve((polls.at(-1)?.bytesDownloaded ?? 0) > 0))
    agent.kill('SIGKILL')
    await agent.exited
    server.hold = false
    await start()
    expect(await record).toEqual({
      phase: 'READY',
      path: path.join(poolPath(), 'cloud-images', 'tiny.qcow2'),
      sizeBytes: image.length,
      errorMessage: '',
    })
    expect(new Set(polls.map(({ status }) => status)).has('failed')).toBe(false)
    expect(await readFile(path.join(poolPath(), 'cloud-images', 'tiny.qcow2'))).toEqual(image)
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

/** While `hold` is true, only the first half of the image is sent and the connection stays open. */
async function imageServer(image: Buffer): Promise<{ readonly url: string; hold: boolean }> {
  const state = { url: '', hold: false }
  const server: Server = createServer((_request, response) => {
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
