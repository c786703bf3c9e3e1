import { KeyedLock } from '../../src/core/keyed-lock.ts'
import { ConnectError } from './connect-json.ts'
import type { Fleet, FleetPool, FleetPoolKind } from './fleet.ts'
import { NodeCallError, NodeClient } from './node-client.ts'
import { asksForPoolAgain, countsAsPoolReady, countsAsStopped, isPoolPrecondition } from './substring-rules.ts'
import { Traffic } from './traffic.ts'

const DIAL_TIMEOUT_MS = 10_000
const HEALTH_TIMEOUT_MS = 5_000
const STOP_SECONDS = 30
// Kinds that the control plane cannot convert are sent without type and configuration.
const WIRE_TYPES: Readonly<Record<FleetPoolKind, string>> = {
  NFS: 'STORAGE_POOL_TYPE_NFS',
  CEPH_RBD: 'STORAGE_POOL_TYPE_CEPH_RBD',
  LOCAL_DIR: 'STORAGE_POOL_TYPE_LOCAL_DIR',
  ISCSI: 'STORAGE_POOL_TYPE_ISCSI',
  CEPH_CEPHFS: 'STORAGE_POOL_TYPE_UNSPECIFIED',
  LOCAL_LVM: 'STORAGE_POOL_TYPE_UNSPECIFIED',
}

/** The control plane's connections to its nodes: one lock for all of them, health check before reuse, pools pushed to every new one. */
export class NodeConnections {
  readonly #fleet: Fleet
  readonly #port: number
  readonly #traffic: Traffic
  readonly #random: () => number
  readonly #clients = new Map<string, NodeClient>()
  readonly #lock = new KeyedLock()
  readonly #never = new AbortController().signal
  /** Failed dials and pushes: the control plane only logs them. */
  readonly log: string[] = []
  /** The push of the newest connection, for tests that wait for it. */
  pushed: Promise<void> = Promise.resolve()

  /** `random` (0 to below 1) says at which node a walk over all of them begins. */
  constructor(fleet: Fleet, port: number, traffic: Traffic = new Traffic(), random: () => number = Math.random) {
    this.#fleet = fleet
    this.#port = port
    this.#traffic = traffic
    this.#random = random
  }

  has(nodeId: string): boolean {
    return this.#clients.has(nodeId)
  }

  /** A working connection: the present one if its health check answers, else a new one, whose pools are pushed in the background. */
  connect(nodeId: string): Promise<NodeClient> {
    return this.#lock.run('all nodes', this.#never, async () => {
      const known = this.#clients.get(nodeId)
      if (known !== undefined) {
        const healthy = await known.call('HealthCheck', {}, HEALTH_TIMEOUT_MS).then(
          () => true,
          () => false,
        )
        if (healthy) return known
        known.close()
        this.#clients.delete(nodeId)
      }
      return this.#dial(nodeId)
    })
  }

  /** Connects and only notes a failure. */
  async tryConnect(nodeId: string): Promise<void> {
    await this.connect(nodeId).catch((error: unknown) =>
      this.log.push(`failed to connect to node daemon: ${String(error)}`),
    )
  }

  /** InitStoragePool as the control plane sends it. */
  async initPool(client: NodeClient, pool: FleetPool): Promise<Record<string, unknown>> {
    const type = WIRE_TYPES[pool.kind]
    const config = type.endsWith('UNSPECIFIED') ? {} : pool.config
    return client.call('InitStoragePool', { poolId: pool.id, type, config })
  }

  /** CreatePool and ReconnectPool: offered to the connected nodes, assigned or not, from a random one on as Go walks over a small map, until one takes it. */
  async createPool(pool: FleetPool): Promise<void> {
    const clients = [...this.#clients.values()]
    const first = Math.floor(this.#random() * clients.length)
    for (const client of [...clients.slice(first), ...clients.slice(0, first)]) {
      try {
        const info = await this.initPool(client, pool)
        pool.phase = 'READY'
        pool.capacity = {
          totalBytes: Number(info.totalBytes),
          usedBytes: Number(info.usedBytes),
          availableBytes: Number(info.availableBytes),
        }
        return
      } catch (error) {
        this.log.push(`init pool ${pool.id}: ${String(error)}`)
      }
    }
    pool.phase = 'ERROR'
  }

  /** CreateVM: always through `connect`; the record goes away when the node refuses. */
  async createVm(nodeId: string, request: { vmId: string; name: string } & Record<string, unknown>): Promise<void> {
    const client = await this.connect(nodeId)
    this.#fleet.vms.set(request.vmId, { id: request.vmId, name: request.name, nodeId, state: 'stopped' })
    try {
      await client.call('CreateVM', request)
    } catch (error) {
      this.#fleet.vms.delete(request.vmId)
      throw error
    }
  }

  /** StartVM, RebootVM and the like. */
  async power(vmId: string, method: string, state: string): Promise<void> {
    const vm = this.#vm(vmId)
    await (await this.#clientOf(vm.nodeId)).call(method, { vmId })
    vm.state = state
  }

  /** StopVM: 30 s; an error whose text says that the VM is absent counts as stopped, any other puts the state back. */
  async stopVm(vmId: string): Promise<void> {
    const vm = this.#vm(vmId)
    try {
      await (await this.#clientOf(vm.nodeId)).call('StopVM', { vmId, timeoutSeconds: STOP_SECONDS })
    } catch (error) {
      if (!countsAsStopped(String(error))) {
        vm.state = 'running'
        throw error
      }
    }
    vm.state = 'stopped'
  }

  /** DeleteVM: the record goes away whatever the node answers. */
  async deleteVm(vmId: string): Promise<void> {
    const vm = this.#vm(vmId)
    const client = await this.#clientOf(vm.nodeId)
    await client.call('DeleteVM', { vmId }).catch((error: unknown) => this.log.push(`delete ${vmId}: ${String(error)}`))
    this.#fleet.vms.delete(vmId)
  }

  /** ListPoolFiles with its self-healing: a pool that the node does not know is sent again, once. */
  async listPoolFiles(nodeId: string, poolId: string, directory = ''): Promise<unknown[]> {
    const pool = this.#fleet.pools.get(poolId)
    if (pool === undefined) throw new ConnectError('not_found', `storage pool not found: ${poolId}`)
    const client = await this.#clientOf(nodeId)
    const list = async () =>
      (await client.call<{ entries: unknown[] }>('ListStoragePoolFiles', { poolId, path: directory })).entries
    try {
      return await list()
    } catch (error) {
      const text = String(error)
      if (isPoolPrecondition(text)) throw new ConnectError('failed_precondition', text)
      if (!asksForPoolAgain(text)) throw new ConnectError('internal', text)
    }
    await this.initPool(client, pool).catch((error: unknown) => {
      if (!countsAsPoolReady(String(error))) throw new ConnectError('internal', String(error))
    })
    return list().catch((error: unknown) => {
      throw new ConnectError(asksForPoolAgain(String(error)) ? 'not_found' : 'internal', String(error))
    })
  }

  closeAll(): void {
    for (const client of this.#clients.values()) client.close()
    this.#clients.clear()
  }

  async #clientOf(nodeId: string): Promise<NodeClient> {
    return this.#clients.get(nodeId) ?? (await this.connect(nodeId))
  }

  async #dial(nodeId: string): Promise<NodeClient> {
    // A prefix length is cut off; the port is always the fixed one.
    const ip = this.#fleet.node(nodeId).managementIp.replace(/\/\d+$/, '')
    const client = new NodeClient(ip.includes(':') ? `[${ip}]:${this.#port}` : `${ip}:${this.#port}`, this.#traffic)
    try {
      await client.dial(DIAL_TIMEOUT_MS)
      await client.call('HealthCheck', {}, HEALTH_TIMEOUT_MS)
    } catch (error) {
      client.close()
      throw error
    }
    this.#clients.set(nodeId, client)
    this.pushed = this.#push(nodeId, client)
    return client
  }

  // One after the other; what fails is logged and the next one is sent.
  async #push(nodeId: string, client: NodeClient): Promise<void> {
    for (const pool of this.#fleet.poolsToPush(nodeId)) {
      try {
        await this.initPool(client, pool)
      } catch (error) {
        if (!(error instanceof NodeCallError) || !countsAsPoolReady(error.message))
          this.log.push(`push pool ${pool.id}: ${String(error)}`)
      }
    }
  }

  #vm(vmId: string) {
    const vm = this.#fleet.vms.get(vmId)
    if (vm === undefined) throw new ConnectError('not_found', `VM ${vmId} is not known`)
    return vm
  }
}
