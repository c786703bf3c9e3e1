import { once } from 'node:events'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import path from 'node:path'
import * as grpc from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import { afterEach, describe, expect, it } from 'vitest'
import { registerNodeRequest } from '../../../src/controlplane/registration.ts'
import { Fleet } from '../../control-plane/fleet.ts'
import { downloadImage } from '../../control-plane/image-download.ts'
import { NodeConnections } from '../../control-plane/node-connections.ts'
import { registerNode, type PoolReport } from '../../control-plane/schemas.ts'
import { startStandInControlPlane } from '../../control-plane/stand-in.ts'
import {
  asksForPoolAgain,
  countsAsAbsent,
  countsAsPoolReady,
  countsAsStopped,
  isPoolPrecondition,
} from '../../control-plane/substring-rules.ts'
import { FACTS } from './link-fixture.ts'

const SPEC = registerNode.parse(JSON.parse(JSON.stringify(registerNodeRequest(FACTS, {}))))
const cleanup: (() => unknown)[] = []

afterEach(async () => {
  for (const step of cleanup.splice(0).reverse()) await step()
})

function beat(nodeId: string, storagePools: PoolReport[]) {
  return {
    nodeId,
    cpuUsagePercent: 1,
    memoryUsedMib: 1,
    memoryTotalMib: 2,
    runningVmCount: 0,
    load1m: 0,
    load5m: 0,
    load15m: 0,
    storagePools,
  }
}

function report(poolId: string, health: PoolReport['health'], totalBytes = 100): PoolReport {
  return {
    poolId,
    health,
    totalBytes,
    usedBytes: '10',
    availableBytes: 90,
    mountPath: '',
    volumeCount: 0,
    errorMessage: '',
  }
}

describe('the fleet of the stand-in', () => {
  const twoNodes = () => {
    const fleet = new Fleet()
    const a = fleet.register(SPEC).node.id
    const b = fleet.register({ ...SPEC, hostname: 'hv-02' }).node.id
    return { fleet, a, b }
  }

  it('knows a host by its name', () => {
    const { fleet, a } = twoNodes()
    expect(fleet.register({ ...SPEC, managementIp: '192.0.2.7' })).toMatchObject({
      isNew: false,
      node: { id: a, managementIp: '192.0.2.7' },
    })
  })

  it('marks a silent node after 90 s', () => {
    let now = 0
    const fleet = new Fleet(() => now)
    const { node } = fleet.register(SPEC)
    now = 89_999
    fleet.sweep()
    expect(node.phase).toBe('READY')
    now = 90_000
    fleet.sweep()
    expect(node.phase).toBe('DISCONNECTED')
    fleet.heartbeat(beat(node.id, []))
    expect(node.phase).toBe('READY')
  })

  it('derives the phase of a pool from its hosts', () => {
    const { fleet, a, b } = twoNodes()
    const pool = fleet.addPool({ id: 'p', name: 'n', kind: 'LOCAL_DIR', config: {}, assignedNodeIds: [a, b] })
    expect(pool.phase).toBe('PENDING')
    fleet.heartbeat(beat(a, [report('p', 2)]))
    expect(pool.phase).toBe('ERROR')
    fleet.heartbeat(beat(a, [report('p', 1)]))
    expect(pool.phase).toBe('READY')
    fleet.heartbeat(beat(b, []))
    expect(pool.phase).toBe('DEGRADED')
    expect(pool.hosts.get(b)).toMatchObject({ health: 'UNMOUNTED', errorMessage: 'Pool not reported by node' })
    fleet.heartbeat(beat(b, [report('n', 1, 50)]))
    // Found by its name, and yet missing by its id: unmounted it stays.
    expect(pool.hosts.get(b)?.health).toBe('UNMOUNTED')
    fleet.heartbeat(beat(b, [report('p', 1, 50)]))
    expect([pool.phase, pool.capacity.totalBytes]).toEqual(['READY', 150])
  })

  it('counts a shared pool once and keeps the old numbers when nobody is healthy', () => {
    const { fleet, a, b } = twoNodes()
    const pool = fleet.addPool({ id: 'p', name: 'n', kind: 'NFS', config: {}, assignedNodeIds: [a, b] })
    fleet.heartbeat(beat(a, [report('p', 1)]))
    fleet.heartbeat(beat(b, [report('p', 1)]))
    expect(pool.capacity).toEqual({ totalBytes: 100, usedBytes: 10, availableBytes: 90 })
    fleet.heartbeat(beat(a, [report('p', 3, 0)]))
    fleet.heartbeat(beat(b, [report('p', 3, 0)]))
    expect([pool.phase, pool.capacity.totalBytes]).toEqual(['ERROR', 100])
  })
})

describe('the Connect side of the stand-in', () => {
  const post = async (url: string, body: unknown) => {
    const response = await fetch(url, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(body),
    })
    return { status: response.status, body: await response.json() }
  }

  it('leaves zero values out, writes 64-bit integers as text, and names what is wrong', async () => {
    const cp = await startStandInControlPlane()
    cleanup.push(() => cp.close())
    const compute = `${cp.url}/limiquantix.compute.v1.NodeService`
    const { body: node } = await post(`${compute}/RegisterNode`, SPEC)
    const answer = await post(`${compute}/UpdateHeartbeat`, beat((node as { id: string }).id, []))
    expect(answer).toEqual({
      status: 200,
      body: { acknowledged: true, serverTimeUnix: expect.stringMatching(/^\d+$/), heartbeatIntervalSecs: 30 },
    })
    expect(await post(`${compute}/UpdateHeartbeat`, beat('nobody', []))).toMatchObject({
      status: 404,
      body: { code: 'not_found' },
    })
    expect((await post(`${compute}/SyncFullState`, {})).status).toBe(501)
    expect((await post(`${compute}/RegisterNode`, { ...SPEC, hostName: 'x' })).status).toBe(400)
    expect(cp.violations).toEqual([expect.stringContaining('hostName')])
    const vm = { id: crypto.randomUUID(), name: 'v', state: 'running', cpuCores: 1, memoryMib: 512, diskPaths: [] }
    const sync = { nodeId: (node as { id: string }).id, vms: [vm] }
    expect((await post(`${compute}/SyncNodeVMs`, sync)).body).toEqual({ importedCount: 1 })
    expect((await post(`${compute}/SyncNodeVMs`, sync)).body).toEqual({ existingCount: 1 })
  })
})

// A node that answers from a table, over real gRPC.
async function fakeNode(
  answers: Record<string, (request: Record<string, unknown>) => object>,
  address = '127.0.0.1:0',
) {
  const definition = loadSync('limiquantix/node/v1/node_daemon.proto', {
    includeDirs: [path.join(import.meta.dirname, '../../../proto')],
    enums: String,
    defaults: true,
    longs: Number,
  })
  const service = definition['limiquantix.node.v1.NodeDaemonService'] as grpc.ServiceDefinition
  const calls: string[] = []
  const server = new grpc.Server()
  server.addService(
    service,
    Object.fromEntries(
      Object.entries(answers).map(([method, answer]) => [
        method,
        (call: grpc.ServerUnaryCall<Record<string, unknown>, object>, callback: grpc.sendUnaryData<object>) => {
          calls.push(method)
          try {
            callback(null, answer(call.request))
          } catch (error) {
            callback(error as grpc.ServiceError)
          }
        },
      ]),
    ),
  )
  const port = await new Promise<number>((resolve, reject) =>
    server.bindAsync(address, grpc.ServerCredentials.createInsecure(), (error, bound) =>
      error ? reject(error) : resolve(bound),
    ),
  )
  cleanup.push(() => server.forceShutdown())
  return { port, calls }
}

function failure(code: grpc.status, details: string): Error {
  return Object.assign(new Error(details), { code, details })
}

describe('the gRPC side of the stand-in', () => {
  it('dials back while it registers a new host, and pushes pools to every new connection', async () => {
    const pushed: unknown[] = []
    const node = await fakeNode({
      HealthCheck: () => ({ healthy: true }),
      InitStoragePool: (request) => {
        pushed.push(request)
        return { totalBytes: 5 }
      },
    })
    const cp = await startStandInControlPlane({ nodeGrpcPort: node.port })
    cleanup.push(() => cp.close())
    const config = { local: { path: '/srv/p' } }
    cp.fleet.addPool({ id: 'p1', name: 'p1', kind: 'NFS', config: { nfs: { server: 's', exportPath: '/e' } } }).phase =
      'READY'
    cp.fleet.addPool({ id: 'p2', name: 'p2', kind: 'LOCAL_DIR', config }).phase = 'READY'
    cp.fleet.addPool({ id: 'p3', name: 'p3', kind: 'NFS', config: {} }).phase = 'ERROR'
    const response = await fetch(`${cp.url}/limiquantix.compute.v1.NodeService/RegisterNode`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify(SPEC),
    })
    const { id } = (await response.json()) as { id: string }
    expect(cp.connections?.has(id)).toBe(true)
    await cp.connections?.pushed
    expect(pushed).toMatchObject([{ poolId: 'p1', type: 'STORAGE_POOL_TYPE_NFS', config: { nfs: { server: 's' } } }])
    // A good health check: the same connection again, and nothing pushed.
    await cp.connections?.connect(id)
    expect(node.calls).toEqual(['HealthCheck', 'InitStoragePool', 'HealthCheck'])
  })

  async function connected(answers: Parameters<typeof fakeNode>[0]) {
    const node = await fakeNode({ HealthCheck: () => ({}), ...answers })
    const fleet = new Fleet()
    const { id } = fleet.register(SPEC).node
    const connections = new NodeConnections(fleet, node.port)
    cleanup.push(() => connections.closeAll())
    return { fleet, connections, nodeId: id, calls: node.calls }
  }

  it('forgets the VM that a node refused to create', async () => {
    const { fleet, connections, nodeId } = await connected({
      CreateVM: () => {
        throw failure(grpc.status.FAILED_PRECONDITION, 'backing image is missing')
      },
    })
    await expect(connections.createVm(nodeId, { vmId: 'v1', name: 'n' })).rejects.toThrow(
      'rpc error: code = FailedPrecondition desc = backing image is missing',
    )
    expect(fleet.vms.size).toBe(0)
  })

  it('takes a VM as stopped when the node says that it has none', async () => {
    let text = 'VM not found: v1'
    const { fleet, connections, nodeId } = await connected({
      CreateVM: () => ({ created: true }),
      StartVM: () => ({}),
      StopVM: () => {
        throw failure(grpc.status.NOT_FOUND, text)
      },
    })
    await connections.createVm(nodeId, { vmId: 'v1', name: 'n' })
    await connections.power('v1', 'StartVM', 'running')
    await connections.stopVm('v1')
    expect(fleet.vms.get('v1')?.state).toBe('stopped')
    text = 'libvirt is not connected'
    await expect(connections.stopVm('v1')).rejects.toThrow(text)
    expect(fleet.vms.get('v1')?.state).toBe('running')
  })

  it('offers a pool that is to be connected again to all nodes, from any one on, until one takes it', async () => {
    const takers = new Set<string>()
    const offered: string[] = []
    const answers = (name: string) => ({
      HealthCheck: () => ({}),
      InitStoragePool: () => {
        offered.push(name)
        if (takers.has(name)) return { totalBytes: 5 }
        throw failure(grpc.status.INTERNAL, 'storage is away')
      },
    })
    const { port } = await fakeNode(answers('a'))
    await fakeNode(answers('b'), `127.0.0.2:${port}`)
    let random = 0
    const cp = await startStandInControlPlane({ nodeGrpcPort: port, random: () => random })
    cleanup.push(() => cp.close())
    for (const [hostname, managementIp] of [
      ['a', '127.0.0.1'],
      ['b', '127.0.0.2'],
    ] as const) {
      await cp.connections?.connect(cp.fleet.register({ ...SPEC, hostname, managementIp }).node.id)
    }
    const pool = cp.fleet.addPool({ id: 'p', name: 'p', kind: 'LOCAL_DIR', config: {} })
    const reconnect = async (from: number, ...taking: string[]) => {
      random = from
      offered.length = 0
      takers.clear()
      for (const name of taking) takers.add(name)
      const response = await fetch(`${cp.url}/limiquantix.storage.v1.StoragePoolService/ReconnectPool`, {
        method: 'POST',
        headers: { 'content-type': 'application/json' },
        body: JSON.stringify({ id: 'p' }),
      })
      expect(response.status).toBe(200)
      return [pool.phase, ...offered]
    }
    expect(await reconnect(0, 'a', 'b')).toEqual(['READY', 'a'])
    expect(await reconnect(0.9, 'a', 'b')).toEqual(['READY', 'b'])
    expect(await reconnect(0.9, 'a')).toEqual(['READY', 'b', 'a'])
    expect(await reconnect(0)).toEqual(['ERROR', 'a', 'b'])
  })

  it('sends a pool again that the node does not know', async () => {
    let known = false
    const { fleet, connections, nodeId, calls } = await connected({
      InitStoragePool: () => {
        known = true
        return {}
      },
      ListStoragePoolFiles: () => {
        if (!known) throw failure(grpc.status.NOT_FOUND, 'pool p not found')
        return { entries: [{ name: 'a.iso' }] }
      },
    })
    fleet.addPool({ id: 'p', name: 'p', kind: 'LOCAL_DIR', config: {} })
    expect(await connections.listPoolFiles(nodeId, 'p')).toMatchObject([{ name: 'a.iso' }])
    expect(calls).toEqual(['HealthCheck', 'ListStoragePoolFiles', 'InitStoragePool', 'ListStoragePoolFiles'])
  })
})

describe('the substring rules', () => {
  it.for<[string, Record<string, boolean>]>([
    ['rpc error: code = Internal desc = mount is already there', { ready: true }],
    ['no such pool exists', { ready: true }],
    ['directory does not exist', {}],
    ['rpc error: code = NotFound desc = pool p missing', { again: true }],
    ['pool p not found', { again: true, absent: true }],
    ['pool has no mount path', { precondition: true }],
    ['VM not found: v', { again: true, stopped: true, absent: true }],
    ['Domain not found', { again: true, stopped: true, absent: true }],
    ['rpc error: code = Unavailable desc = libvirt is not connected', {}],
  ])('read %j', ([text, expected]) => {
    expect({
      ready: countsAsPoolReady(text),
      again: asksForPoolAgain(text),
      precondition: isPoolPrecondition(text),
      stopped: countsAsStopped(text),
      absent: countsAsAbsent(text),
    }).toEqual({ ready: false, again: false, precondition: false, stopped: false, absent: false, ...expected })
  })
})

describe('the image download of the stand-in', () => {
  async function nodeHttp(post: { status: number; body: string }, polls: { status: number; body: object }[]) {
    const server = createServer((request, response) => {
      const next = request.method === 'POST' ? post : polls.shift()
      response.statusCode = next?.status ?? 500
      response.end(typeof next?.body === 'string' ? next.body : JSON.stringify(next?.body ?? {}))
    })
    server.listen(0, '127.0.0.1')
    await once(server, 'listening')
    cleanup.push(() => server.closeAllConnections())
    cleanup.push(() => server.close())
    return `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  }
  const job = { catalogId: 'c', imageId: 'i', url: 'http://x', targetDir: '/t', poolId: '', checksum: '' }

  it('ignores bad polls and ends with the final one', async ({ signal }) => {
    const poll = { targetPath: '/t/c.qcow2', bytesTotal: 9, errorMessage: null }
    const url = await nodeHttp({ status: 200, body: '{"jobId":"j"}' }, [
      { status: 404, body: {} },
      { status: 200, body: { ...poll, status: 'downloading', progressPercent: 33.3, bytesDownloaded: 3 } },
      { status: 200, body: { ...poll, status: 'downloading', progressPercent: 33, bytesDownloaded: 3 } },
      { status: 200, body: { ...poll, status: 'completed', progressPercent: 100, bytesDownloaded: 9 } },
    ])
    const seen: number[] = []
    const image = await downloadImage(url, job, { signal, periodMs: 1, onPoll: (p) => seen.push(p.progressPercent) })
    expect(image).toEqual({ phase: 'READY', path: '/t/c.qcow2', sizeBytes: 9, errorMessage: '' })
    expect(seen).toEqual([33, 100])
  })

  it('gives up at once on anything but 200', async ({ signal }) => {
    const url = await nodeHttp({ status: 409, body: 'conflict' }, [])
    expect(await downloadImage(url, job, { signal, periodMs: 1 })).toMatchObject({
      phase: 'ERROR',
      errorMessage: 'node daemon error (409): conflict',
    })
  })
})
