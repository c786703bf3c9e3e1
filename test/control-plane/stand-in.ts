import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { ZodType } from 'zod'
import { ConnectError, readJson, sendError, sendMessage } from './connect-json.ts'
import { applyFault, type Fault } from './faults.ts'
import { Fleet } from './fleet.ts'
import { NodeConnections } from './node-connections.ts'
import { Recorder } from './recorder.ts'
import { registerNode, scanLocalImages, syncNodeVms, updateHeartbeat, type UpdateHeartbeat } from './schemas.ts'

/** One request of an agent. */
export interface RecordedRequest {
  /** `RegisterNode`, `UpdateHeartbeat`, … */
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: unknown
  /** Monotonic milliseconds. */
  readonly at: number
}

export interface StandInOptions {
  /** 0 (default) = any free one. */
  readonly port?: number
  readonly host?: string
  /** Told to the agents; 0 = not told. */
  readonly heartbeatIntervalSecs?: number
  /** Port of the agents' gRPC. When given, agents are dialled back as the control plane does: at their registration, and at heartbeats without a connection. */
  readonly nodeGrpcPort?: number
  /** Monotonic clock of the fleet. */
  readonly now?: () => number
}

/** A control plane for tests: Connect JSON towards the agents, gRPC to them, the contract's rules in memory, faults on demand. */
export interface StandInControlPlane {
  readonly url: string
  readonly fleet: Fleet
  /** Everything that was asked, also what was answered with an error. */
  readonly requests: readonly RecordedRequest[]
  /** Bodies of the heartbeats that were acknowledged. */
  readonly heartbeats: readonly UpdateHeartbeat[]
  /** What agents sent against the contract; a test ends with an empty list. */
  readonly violations: readonly string[]
  /** gRPC connections to the agents; undefined without `nodeGrpcPort`. */
  readonly connections: NodeConnections | undefined
  /** The next acknowledged heartbeat from now on. */
  waitForHeartbeat(signal: AbortSignal): Promise<UpdateHeartbeat>
  /** The first acknowledged heartbeat, past or future, that fits. */
  waitForHeartbeatThat(fits: (beat: UpdateHeartbeat) => boolean, signal: AbortSignal): Promise<UpdateHeartbeat>
  /** The next request from now on, of that method. */
  waitForRequest(method: string, signal: AbortSignal): Promise<RecordedRequest>
  /** Misbehave from now on, for one method or for all; undefined = behave. */
  setFault(fault: Fault | undefined, method?: string): void
  /** A restart with an empty memory. */
  forgetEverything(): void
  /** Stops listening and breaks all connections; the address stays reserved for `resume`. */
  pause(): Promise<void>
  resume(): Promise<void>
  close(): Promise<void>
}

type Handler = (body: unknown) => object | Promise<object>

const COMPUTE = '/limiquantix.compute.v1.NodeService/'
const IMAGES = '/limiquantix.storage.v1.ImageService/'
const POOLS = '/limiquantix.storage.v1.StoragePoolService/'
// Zero is left out on the wire, as the control plane does with CEPH_RBD.
const BACKEND_TYPES = { CEPH_RBD: 0, CEPH_CEPHFS: 1, LOCAL_LVM: 2, LOCAL_DIR: 3, NFS: 4, ISCSI: 5 } as const

/** Starts a stand-in on loopback. */
export async function startStandInControlPlane(options: StandInOptions = {}): Promise<StandInControlPlane> {
  const { host = '127.0.0.1', heartbeatIntervalSecs = 30 } = options
  const requests = new Recorder<RecordedRequest>()
  const heartbeats = new Recorder<UpdateHeartbeat>()
  const violations: string[] = []
  const faults = new Map<string, Fault>()
  const fleet = new Fleet(options.now)
  const connections = options.nodeGrpcPort === undefined ? undefined : new NodeConnections(fleet, options.nodeGrpcPort)

  const parse = <T>(method: string, schema: ZodType<T>, body: unknown): T => {
    const parsed = schema.safeParse(body)
    if (parsed.success) return parsed.data
    const issues = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')
    violations.push(`${method}: ${issues}`)
    throw new ConnectError('invalid_argument', issues)
  }

  const handlers: Readonly<Record<string, Handler>> = {
    [`${COMPUTE}RegisterNode`]: async (body) => {
      const { node, isNew } = fleet.register(parse('RegisterNode', registerNode, body))
      if (isNew) await connections?.tryConnect(node.id)
      return { id: node.id, hostname: node.hostname, managementIp: node.managementIp, status: { phase: node.phase } }
    },
    [`${COMPUTE}UpdateHeartbeat`]: async (body) => {
      const beat = parse('UpdateHeartbeat', updateHeartbeat, body)
      const node = fleet.node(beat.nodeId)
      if (connections !== undefined && (node.phase === 'DISCONNECTED' || !connections.has(node.id)))
        await connections.tryConnect(node.id)
      fleet.heartbeat(beat)
      heartbeats.add(beat)
      return {
        acknowledged: true,
        serverTimeUnix: BigInt(Math.floor(Date.now() / 1000)),
        heartbeatIntervalSecs,
        assignedPoolIds: [...fleet.pools.values()]
          .filter((pool) => pool.assignedNodeIds.includes(node.id))
          .map((pool) => pool.id),
        requestFullSync: false,
      }
    },
    [`${COMPUTE}SyncNodeVMs`]: (body) => fleet.syncVms(parse('SyncNodeVMs', syncNodeVms, body)),
    [`${IMAGES}ScanLocalImages`]: (body) => fleet.syncImages(parse('ScanLocalImages', scanLocalImages, body)),
    [`${POOLS}GetPool`]: (body) => {
      const id = (body as { id?: string }).id ?? ''
      const pool = fleet.pools.get(id)
      if (pool === undefined) throw new ConnectError('not_found', `storage pool not found: ${id}`)
      // The configuration is stripped: only InitStoragePool carries it.
      return {
        id,
        name: pool.name,
        spec: { backend: { type: BACKEND_TYPES[pool.kind] } },
        status: { phase: pool.phase },
      }
    },
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = new URL(request.url ?? '/', 'http://stand-in').pathname
    const method = path.slice(path.lastIndexOf('/') + 1)
    const body = await readJson(request)
    requests.add({ method, path, headers: request.headers, body, at: performance.now() })
    const fault = faults.get(method) ?? faults.get('')
    if (fault !== undefined && (await applyFault(fault, request, response))) return
    const handler = handlers[path]
    if (handler === undefined) throw new ConnectError('unimplemented', `${path} is not implemented`)
    if (!String(request.headers['content-type']).startsWith('application/json')) {
      violations.push(`${method}: content-type ${request.headers['content-type'] ?? 'missing'}`)
      throw new ConnectError('invalid_argument', 'content-type must be application/json')
    }
    sendMessage(response, await handler(body))
  }
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    handle(request, response).catch((error: unknown) => {
      if (response.headersSent || response.destroyed) return
      sendError(response, error instanceof ConnectError ? error : new ConnectError('internal', String(error)))
    })
  }

  let server: Server | undefined
  const listen = async (port: number): Promise<number> => {
    server = createServer(onRequest)
    server.listen(port, host)
    await once(server, 'listening')
    return (server.address() as AddressInfo).port
  }
  const stopListening = async () => {
    const stopped = server
    server = undefined
    if (stopped === undefined) return
    const closed = once(stopped, 'close')
    stopped.close()
    stopped.closeAllConnections()
    await closed
  }
  const port = await listen(options.port ?? 0)

  return {
    url: `http://${host}:${port}`,
    fleet,
    requests: requests.items,
    heartbeats: heartbeats.items,
    violations,
    connections,
    waitForHeartbeat: (signal) => heartbeats.waitFor(() => true, signal, heartbeats.items.length),
    waitForHeartbeatThat: (fits, signal) => heartbeats.waitFor(fits, signal),
    waitForRequest: (method, signal) =>
      requests.waitFor((request) => request.method === method, signal, requests.items.length),
    setFault(fault, method = '') {
      if (fault === undefined) faults.delete(method)
      else faults.set(method, fault)
    },
    forgetEverything() {
      fleet.nodes.clear()
      fleet.pools.clear()
      fleet.vms.clear()
      fleet.images.clear()
      connections?.closeAll()
    },
    pause: stopListening,
    async resume() {
      await listen(port)
    },
    async close() {
      connections?.closeAll()
      await stopListening()
    },
  }
}
