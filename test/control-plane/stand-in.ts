import { once } from 'node:events'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import { createServer as createTlsServer } from 'node:https'
import type { AddressInfo } from 'node:net'
import type { ZodType } from 'zod'
import { freePort } from '../support/free-port.ts'
import { ConnectError, readJson, sendError, sendMessage, wireMessage } from './connect-json.ts'
import type { EstAuthority } from './est-authority.ts'
import { applyFault, type Fault } from './faults.ts'
import { Fleet, type FleetPool } from './fleet.ts'
import { NodeConnections } from './node-connections.ts'
import { Recorder } from './recorder.ts'
import {
  imageNotice,
  notifyStorageChange,
  notifyVmChange,
  registerNode,
  scanLocalImages,
  syncFullState,
  syncNodeVms,
  updateHeartbeat,
  type UpdateHeartbeat,
} from './schemas.ts'
import { Traffic } from './traffic.ts'

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
  /** A free one by default. */
  readonly port?: number
  readonly host?: string
  /** Told to the agents; 0 = not told. */
  readonly heartbeatIntervalSecs?: number
  /** Port of the agents' gRPC. When given, agents are dialled back as the control plane does: at their registration, and at heartbeats without a connection. */
  readonly nodeGrpcPort?: number
  /** Know NotifyVMChange, NotifyStorageChange and SyncFullState; control planes of today do not. */
  readonly stateSync?: boolean
  /** Gets all that both sides say. */
  readonly traffic?: Traffic
  /** HTTPS with this certificate; asks for one of the authorities and takes any. With `est` hosts get theirs here (RFC 7030); control planes of today do not know that. */
  readonly tls?: { readonly key: string; readonly cert: string; readonly ca: string; readonly est?: EstAuthority }
  /** Monotonic clock of the fleet. */
  readonly now?: () => number
  /** 0 to below 1: at which node CreatePool and ReconnectPool begin. */
  readonly random?: () => number
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
  /** All that both sides said. */
  readonly traffic: Traffic
  /** The next acknowledged heartbeat from now on. */
  waitForHeartbeat(signal: AbortSignal): Promise<UpdateHeartbeat>
  /** The first acknowledged heartbeat, past or future, that fits. */
  waitForHeartbeatThat(fits: (beat: UpdateHeartbeat) => boolean, signal: AbortSignal): Promise<UpdateHeartbeat>
  /** The next request from now on, of that method. */
  waitForRequest(method: string, signal: AbortSignal): Promise<RecordedRequest>
  /** Misbehave from now on, for one method or for all; undefined = behave. */
  setFault(fault: Fault | undefined, method?: string): void
  /** Asks for everything with the next heartbeats, until it comes. */
  wantFullSync(): void
  /** A restart with an empty memory. */
  forgetEverything(): void
  /** Stops listening and breaks all connections; nobody gets the port by chance before `resume`. */
  pause(): Promise<void>
  resume(): Promise<void>
  close(): Promise<void>
}

type Handler = (body: unknown) => object | Promise<object>

const COMPUTE = '/limiquantix.compute.v1.NodeService/'
const IMAGES = '/limiquantix.storage.v1.ImageService/'
const POOLS = '/limiquantix.storage.v1.StoragePoolService/'
const SWEEP_PERIOD_MS = 30_000
// Zero is left out on the wire, as the control plane does with CEPH_RBD.
const BACKEND_TYPES = { CEPH_RBD: 0, CEPH_CEPHFS: 1, LOCAL_LVM: 2, LOCAL_DIR: 3, NFS: 4, ISCSI: 5 } as const

/** Starts a stand-in on loopback. */
export async function startStandInControlPlane(options: StandInOptions = {}): Promise<StandInControlPlane> {
  const { host = '127.0.0.1', heartbeatIntervalSecs = 30, tls } = options
  const requests = new Recorder<RecordedRequest>()
  const heartbeats = new Recorder<UpdateHeartbeat>()
  const violations: string[] = []
  const faults = new Map<string, Fault>()
  const fleet = new Fleet(options.now)
  const traffic = options.traffic ?? new Traffic()
  const connections =
    options.nodeGrpcPort === undefined
      ? undefined
      : new NodeConnections(fleet, options.nodeGrpcPort, traffic, options.random)

  const parse = <T>(method: string, schema: ZodType<T>, body: unknown): T => {
    const parsed = schema.safeParse(body)
    if (parsed.success) return parsed.data
    const issues = parsed.error.issues.map((issue) => `${issue.path.join('.')}: ${issue.message}`).join('; ')
    violations.push(`${method}: ${issues}`)
    throw new ConnectError('invalid_argument', issues)
  }

  // What breaks the records of the control plane is against the contract, whatever it answers.
  const breaking = <T>(method: string, work: () => T): T => {
    try {
      return work()
    } catch (error) {
      if (error instanceof ConnectError && error.code === 'internal') violations.push(`${method}: ${error.message}`)
      throw error
    }
  }

  const poolOf = (id: string): FleetPool => {
    const pool = fleet.pools.get(id)
    if (pool === undefined) throw new ConnectError('not_found', `storage pool not found: ${id}`)
    return pool
  }

  let fullSyncWanted = false
  const changes: Readonly<Record<string, Handler>> = {
    [`${COMPUTE}NotifyVMChange`]: (body) => {
      fleet.node(parse('NotifyVMChange', notifyVmChange, body).nodeId)
      return { acknowledged: true, action: 'status_updated' }
    },
    [`${COMPUTE}NotifyStorageChange`]: (body) => {
      fleet.node(parse('NotifyStorageChange', notifyStorageChange, body).nodeId)
      return { acknowledged: true, action: 'status_updated' }
    },
    [`${COMPUTE}SyncFullState`]: (body) => {
      const { nodeId, vms } = parse('SyncFullState', syncFullState, body)
      fleet.node(nodeId)
      fullSyncWanted = false
      return { acknowledged: true, vmsReconciled: vms.length }
    },
  }
  const handlers: Readonly<Record<string, Handler>> = {
    ...(options.stateSync === true ? changes : {}),
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
        requestFullSync: fullSyncWanted,
      }
    },
    [`${COMPUTE}GetNode`]: (body) => {
      const { id, hostname, managementIp, phase } = fleet.node((body as { id?: string }).id ?? '')
      return { id, hostname, managementIp, status: { phase } }
    },
    [`${COMPUTE}SyncNodeVMs`]: (body) => fleet.syncVms(parse('SyncNodeVMs', syncNodeVms, body)),
    [`${IMAGES}ScanLocalImages`]: (body) =>
      breaking('ScanLocalImages', () => fleet.syncImages(parse('ScanLocalImages', scanLocalImages, body))),
    ['/api/v1/images/notify']: (body) =>
      breaking('notify', () => {
        const notice = parse('notify', imageNotice, body)
        fleet.noticeImage(notice)
        return { success: true, message: `image ${notice.event_type}` }
      }),
    [`${POOLS}GetPool`]: (body) => {
      return poolMessage(poolOf((body as { id?: string }).id ?? ''))
    },
    [`${POOLS}ListPoolFiles`]: async (body) => {
      const { poolId = '', path = '' } = body as { poolId?: string; path?: string }
      const nodeId = fleet.pools.get(poolId)?.assignedNodeIds.find((id) => connections?.has(id) === true)
      if (connections === undefined || nodeId === undefined)
        throw new ConnectError('unavailable', 'no node is connected')
      return { entries: await connections.listPoolFiles(nodeId, poolId, path) }
    },
    [`${POOLS}ReconnectPool`]: async (body) => {
      const pool = poolOf((body as { id?: string }).id ?? '')
      if (connections === undefined) throw new ConnectError('unavailable', 'no node is connected')
      await connections.createPool(pool)
      return poolMessage(pool)
    },
  }

  const handle = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = new URL(request.url ?? '/', 'http://stand-in').pathname
    const method = path.slice(path.lastIndexOf('/') + 1)
    // As Go's multiplexer answers what nobody serves.
    if (path.startsWith('/.well-known/')) return void response.writeHead(404).end('404 page not found\n')
    const body = await readJson(request)
    requests.add({ method, path, headers: request.headers, body, at: performance.now() })
    const fault = faults.get(method) ?? faults.get('')
    const exchange = {
      at: traffic.now(),
      from: 'agent',
      agent: hostnameOf(fleet, body),
      over: 'connect',
      call: method,
      request: body,
    } as const
    const faulty = fault && (await applyFault(fault, request, response))
    if (faulty !== undefined) return traffic.add({ ...exchange, ...faulty })
    const handler: Handler =
      handlers[path] ??
      (() => {
        throw new ConnectError('unimplemented', `${path} is not implemented`)
      })
    try {
      if (!String(request.headers['content-type']).startsWith('application/json')) {
        violations.push(`${method}: content-type ${request.headers['content-type'] ?? 'missing'}`)
        throw new ConnectError('invalid_argument', 'content-type must be application/json')
      }
      const answer = wireMessage(await handler(body))
      sendMessage(response, answer)
      traffic.add({ ...exchange, outcome: 'ok', response: answer })
    } catch (error) {
      traffic.add({ ...exchange, outcome: error instanceof ConnectError ? error.code : 'internal', response: null })
      throw error
    }
  }
  const onRequest = (request: IncomingMessage, response: ServerResponse) => {
    const answer = async () => (await tls?.est?.handle(request, response)) === true || handle(request, response)
    answer().catch((error: unknown) => {
      if (response.headersSent || response.destroyed) return
      sendError(response, error instanceof ConnectError ? error : new ConnectError('internal', String(error)))
    })
  }

  let server: Server | undefined
  const listen = async (port: number): Promise<number> => {
    server =
      tls === undefined
        ? createServer(onRequest)
        : createTlsServer({ ...tls, requestCert: true, rejectUnauthorized: false }, onRequest)
    // As Go's server does by default: an idle connection stays.
    server.keepAliveTimeout = 0
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
  const port = await listen(options.port ?? (await freePort()))
  const sweeping = setInterval(() => fleet.sweep(), SWEEP_PERIOD_MS).unref()

  return {
    url: `${tls === undefined ? 'http' : 'https'}://${host}:${port}`,
    fleet,
    requests: requests.items,
    heartbeats: heartbeats.items,
    violations,
    connections,
    traffic,
    waitForHeartbeat: (signal) => heartbeats.waitFor(() => true, signal, heartbeats.items.length),
    waitForHeartbeatThat: (fits, signal) => heartbeats.waitFor(fits, signal),
    waitForRequest: (method, signal) =>
      requests.waitFor((request) => request.method === method, signal, requests.items.length),
    setFault(fault, method = '') {
      if (fault === undefined) faults.delete(method)
      else faults.set(method, fault)
    },
    wantFullSync() {
      fullSyncWanted = true
    },
    forgetEverything() {
      fleet.nodes.clear()
      fleet.pools.clear()
      fleet.vms.clear()
      fleet.images.clear()
      fleet.downloading.clear()
      connections?.closeAll()
    },
    pause: stopListening,
    async resume() {
      await listen(port)
    },
    async close() {
      clearInterval(sweeping)
      connections?.closeAll()
      await stopListening()
    },
  }
}

// The configuration is stripped: only InitStoragePool carries it.
function poolMessage({ id, name, kind, phase }: FleetPool): object {
  return { id, name, spec: { backend: { type: BACKEND_TYPES[kind] } }, status: { phase } }
}

function hostnameOf(fleet: Fleet, body: unknown): string {
  const { hostname, nodeId, node_id } = body as { hostname?: string; nodeId?: string; node_id?: string }
  return hostname ?? fleet.nodes.get(nodeId ?? node_id ?? '')?.hostname ?? ''
}
