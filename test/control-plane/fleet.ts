import { randomUUID } from 'node:crypto'
import { ConnectError } from './connect-json.ts'
import type { ImageNotice, PoolReport, RegisterNode, ScanLocalImages, SyncNodeVms, UpdateHeartbeat } from './schemas.ts'

/** A node as the control plane remembers it. */
export interface FleetNode {
  readonly id: string
  readonly hostname: string
  managementIp: string
  spec: RegisterNode
  phase: 'READY' | 'DISCONNECTED'
  /** Monotonic milliseconds. */
  lastHeartbeatAt: number
  allocatedMemoryMib: number
}

export type FleetPoolKind = 'NFS' | 'CEPH_RBD' | 'CEPH_CEPHFS' | 'LOCAL_DIR' | 'LOCAL_LVM' | 'ISCSI'
/** An image record. */
export interface FleetImage {
  readonly nodeId: string
  readonly path: string
  readonly id?: string
  readonly catalogId?: string
  readonly poolId?: string
}

type HostHealth = 'UNKNOWN' | 'HEALTHY' | 'DEGRADED' | 'ERROR' | 'UNMOUNTED'

export interface HostStatus {
  readonly health: HostHealth
  readonly totalBytes: number
  readonly usedBytes: number
  readonly availableBytes: number
  readonly mountPath: string
  readonly volumeCount: number
  readonly errorMessage: string
}

/** A pool as the control plane remembers it. `config` is what InitStoragePool carries; it goes nowhere else. */
export interface FleetPool {
  readonly id: string
  readonly name: string
  readonly kind: FleetPoolKind
  readonly assignedNodeIds: string[]
  readonly config: object
  readonly hosts: Map<string, HostStatus>
  capacity: { totalBytes: number; usedBytes: number; availableBytes: number }
  phase: 'PENDING' | 'READY' | 'DEGRADED' | 'ERROR'
}

const HEALTHS: readonly HostHealth[] = ['UNKNOWN', 'HEALTHY', 'DEGRADED', 'ERROR', 'UNMOUNTED']
const SHARED: ReadonlySet<FleetPoolKind> = new Set(['NFS', 'CEPH_RBD', 'CEPH_CEPHFS'])
/** A node without a heartbeat for this long is DISCONNECTED. */
export const DISCONNECTED_AFTER_MS = 90_000

/** The control plane's memory: nodes, pools, VMs and images, with its own rules and nothing on disk. */
export class Fleet {
  readonly nodes = new Map<string, FleetNode>()
  readonly pools = new Map<string, FleetPool>()
  readonly vms = new Map<string, { id: string; name: string; nodeId: string; state: string }>()
  /** By node and path. A record of a catalog download has a catalog id; while it runs its path is not known yet. */
  readonly images = new Map<string, FleetImage>()
  /** Every phase that a pool entered by a heartbeat, in order. */
  readonly phases: { readonly poolId: string; readonly phase: FleetPool['phase'] }[] = []
  /** Target paths of downloads that were asked for and whose end was not heard of. */
  readonly downloading = new Set<string>()
  readonly #now: () => number

  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  /** RegisterNode: the host name is the identity; a known one keeps its id. */
  register(spec: RegisterNode): { node: FleetNode; isNew: boolean } {
    const known = [...this.nodes.values()].find((node) => node.hostname === spec.hostname)
    const node: FleetNode = known ?? {
      id: randomUUID(),
      hostname: spec.hostname,
      managementIp: spec.managementIp,
      spec,
      phase: 'READY',
      lastHeartbeatAt: this.#now(),
      allocatedMemoryMib: 0,
    }
    Object.assign(node, { managementIp: spec.managementIp, spec, phase: 'READY', lastHeartbeatAt: this.#now() })
    this.nodes.set(node.id, node)
    return { node, isNew: known === undefined }
  }

  /** UpdateHeartbeat: the node is READY, its reports are merged, assigned pools that it did not report count as unmounted. */
  heartbeat(beat: UpdateHeartbeat): FleetNode {
    const node = this.node(beat.nodeId)
    Object.assign(node, {
      phase: 'READY',
      lastHeartbeatAt: this.#now(),
      allocatedMemoryMib: Number(beat.memoryUsedMib),
    })
    const reported = new Set<string>()
    for (const report of beat.storagePools) {
      reported.add(report.poolId)
      const pool = this.pools.get(report.poolId) ?? [...this.pools.values()].find((p) => p.name === report.poolId)
      if (pool !== undefined) this.#update(pool, node.id, toHostStatus(report))
    }
    for (const pool of this.pools.values()) {
      if (pool.assignedNodeIds.includes(node.id) && !reported.has(pool.id)) this.#update(pool, node.id, NOT_REPORTED)
    }
    return node
  }

  /** Marks nodes that were silent for 90 s, as the control plane does every 30 s. */
  sweep(): void {
    for (const node of this.nodes.values()) {
      if (this.#now() - node.lastHeartbeatAt >= DISCONNECTED_AFTER_MS) node.phase = 'DISCONNECTED'
    }
  }

  /** SyncNodeVMs: unknown ids become records; known ones are only counted. */
  syncVms({ nodeId, vms }: SyncNodeVms): { importedCount: number; existingCount: number } {
    this.node(nodeId)
    const fresh = vms.filter((vm) => !this.vms.has(vm.id))
    for (const { id, name, state } of fresh) this.vms.set(id, { id, name, nodeId, state: state.toLowerCase() })
    return { importedCount: fresh.length, existingCount: vms.length - fresh.length }
  }

  /** ScanLocalImages: one record per node and path. */
  syncImages({ nodeId, images }: ScanLocalImages): { registeredCount: number; existingCount: number } {
    const fresh = images.filter((image) => !this.images.has(`${nodeId} ${image.path}`))
    for (const { path } of fresh) {
      if (this.downloading.has(path)) throw new ConnectError('internal', `a second record of the download to ${path}`)
      this.images.set(`${nodeId} ${path}`, { nodeId, path })
    }
    return { registeredCount: fresh.length, existingCount: images.length - fresh.length }
  }

  /** A notification: the record of the node and path is replaced as a whole, or deleted. */
  noticeImage({ node_id: nodeId, event_type, id, path, storage_pool_id }: ImageNotice): void {
    this.node(nodeId)
    const key = `${nodeId} ${path}`
    if (event_type === 'deleted') {
      this.images.delete(key)
      return
    }
    if (this.images.get(key)?.catalogId !== undefined) {
      throw new ConnectError('internal', `the notification of ${path} drops the catalog id of the image`)
    }
    this.images.set(key, { nodeId, path, id, ...(storage_pool_id === undefined ? {} : { poolId: storage_pool_id }) })
  }

  /** ScanISOs: what the first level of `iso/` of a pool has becomes the records of the pool, all others of it are deleted. Returns the deleted paths. */
  scanIsos(nodeId: string, poolId: string, files: readonly string[]): string[] {
    const paths = new Set(files.filter((file) => /\.iso$/i.test(file)).map((file) => `iso/${file}`))
    const deleted = [...this.images].filter(([, image]) => image.poolId === poolId && !paths.has(image.path))
    for (const [key] of deleted) this.images.delete(key)
    for (const path of paths) this.images.set(`${nodeId} ${path}`, { nodeId, path, poolId })
    return deleted.map(([, { path }]) => path)
  }

  /** Adds a pool in phase PENDING. */
  addPool(pool: Pick<FleetPool, 'id' | 'name' | 'kind' | 'config'> & { assignedNodeIds?: string[] }): FleetPool {
    const added: FleetPool = {
      ...pool,
      assignedNodeIds: pool.assignedNodeIds ?? [],
      hosts: new Map(),
      capacity: { totalBytes: 0, usedBytes: 0, availableBytes: 0 },
      phase: 'PENDING',
    }
    this.pools.set(added.id, added)
    return added
  }

  /** The pools that a new connection to the node gets pushed: READY and assigned, or of a shared kind that needs no assignment. */
  poolsToPush(nodeId: string): FleetPool[] {
    return [...this.pools.values()].filter(
      (pool) =>
        pool.phase === 'READY' &&
        (pool.assignedNodeIds.includes(nodeId) || pool.kind === 'NFS' || pool.kind === 'CEPH_RBD'),
    )
  }

  /** The node, or Connect not_found. */
  node(id: string): FleetNode {
    const node = this.nodes.get(id)
    if (node === undefined) throw new ConnectError('not_found', `node not found: ${id}`)
    return node
  }

  #update(pool: FleetPool, nodeId: string, status: HostStatus): void {
    pool.hosts.set(nodeId, status)
    pool.capacity = aggregateCapacity(pool)
    const phase = overallPhase(pool)
    if (phase !== pool.phase) this.phases.push({ poolId: pool.id, phase })
    pool.phase = phase
  }
}

const NOT_REPORTED: HostStatus = {
  health: 'UNMOUNTED',
  totalBytes: 0,
  usedBytes: 0,
  availableBytes: 0,
  mountPath: '',
  volumeCount: 0,
  errorMessage: 'Pool not reported by node',
}

function toHostStatus(report: PoolReport): HostStatus {
  return {
    health: HEALTHS[report.health] ?? 'UNKNOWN',
    totalBytes: Number(report.totalBytes),
    usedBytes: Number(report.usedBytes),
    availableBytes: Number(report.availableBytes),
    mountPath: report.mountPath,
    volumeCount: report.volumeCount,
    errorMessage: report.errorMessage,
  }
}

// Shared pools: the first healthy host; others: the sum over healthy hosts; none: as it was.
function aggregateCapacity(pool: FleetPool): FleetPool['capacity'] {
  const healthy = [...pool.hosts.values()].filter((host) => host.health === 'HEALTHY')
  const counted = SHARED.has(pool.kind) ? healthy.slice(0, 1) : healthy
  if (counted.length === 0) return pool.capacity
  const sum = (key: 'totalBytes' | 'usedBytes' | 'availableBytes') => counted.reduce((n, host) => n + host[key], 0)
  return { totalBytes: sum('totalBytes'), usedBytes: sum('usedBytes'), availableBytes: sum('availableBytes') }
}

function overallPhase(pool: FleetPool): FleetPool['phase'] {
  const hosts = [...pool.hosts.values()]
  if (hosts.length === 0) return 'PENDING'
  const healthy = hosts.filter((host) => host.health === 'HEALTHY').length
  if (healthy === 0) return 'ERROR'
  const broken = hosts.some((host) => host.health === 'ERROR' || host.health === 'UNMOUNTED')
  return broken && healthy < pool.assignedNodeIds.length ? 'DEGRADED' : 'READY'
}
