import { z } from 'zod'
import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { isUuid } from '../core/ids.ts'
import type { DiskSource, RbdSource } from '../core/model.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { Activation, ActivationRequest, PoolTraits, ProbeResult, VolumeSnapshots } from './backend.ts'
import { clusterName, sharesMonitor, type CephClient } from './ceph-client.ts'
import { CephGuestSecret } from './ceph-guest-secret.ts'
import { CephTools } from './ceph-tools.ts'
import type { StorageEnvironment } from './environment.ts'
import type { LeasePlace } from './guest-lease.ts'
import { judgeSpace } from './pool-space.ts'
import { unreachable } from './probe-result.ts'
import { RbdImages } from './rbd-images.ts'
import { RbdLeases } from './rbd-leases.ts'
import { RbdMarker } from './rbd-marker.ts'
import { imageSpec, placeText, type RbdPlace } from './rbd-name.ts'
import { RbdObjects } from './rbd-objects.ts'
import { rbdSnapshots } from './rbd-snapshots.ts'
import { RbdSpaceWatch } from './rbd-space.ts'
import { RbdVolumes } from './rbd-volumes.ts'
import { RbdWork } from './rbd-work.ts'

/** A dead cluster has to leave HEALTHY within 25 s, that is after two probes. */
const PROBE_TIMEOUT_MS = 5_000

export interface RbdPoolOptions {
  readonly environment: StorageEnvironment
  readonly poolId: string
  readonly traits: PoolTraits
  readonly client: CephClient
  readonly place: RbdPlace
  /** '' for one of the pool's own. */
  readonly secretUuid: string
  /** Compared with the cluster when it is an fsid. */
  readonly clusterId: string
}

const applicationsSchema = z.record(z.string(), z.unknown())

/** A Ceph pool or namespace that is a pool: its tools, mark, volumes, space, and the key for guests. */
export class RbdPool {
  /** `<pool>[/<namespace>]`. */
  readonly name: string
  readonly volumes: RbdVolumes
  readonly snapshots: VolumeSnapshots
  readonly leases: LeasePlace
  readonly #options: RbdPoolOptions
  readonly #tools: CephTools
  readonly #images: RbdImages
  readonly #marker: RbdMarker
  readonly #work: RbdWork
  readonly #space: RbdSpaceWatch
  readonly #secret: CephGuestSecret

  constructor(options: RbdPoolOptions) {
    const { environment, poolId, client, place, secretUuid, traits } = options
    const { nodeId, paths, guestSecrets } = environment
    this.#options = options
    this.name = placeText(place)
    this.#tools = new CephTools(client, paths, poolId, `RBD pool ${this.name}`)
    this.#images = new RbdImages(this.#tools, place)
    const objects = new RbdObjects(this.#tools, place)
    this.#marker = new RbdMarker(objects, place, poolId)
    this.#work = new RbdWork(this.#images, objects, nodeId)
    this.#space = new RbdSpaceWatch(this.#tools, place.pool)
    this.#secret = new CephGuestSecret(guestSecrets, poolId, client.user, secretUuid)
    this.volumes = new RbdVolumes({
      poolId,
      nodeId,
      traits,
      tools: this.#tools,
      place,
      images: this.#images,
      marker: this.#marker,
      work: this.#work,
      source: (image) => this.#source(image),
    })
    this.snapshots = rbdSnapshots(this.#images, this.volumes)
    this.leases = new RbdLeases({
      poolId,
      objects,
      images: this.#images,
      marker: this.#marker,
      imageAt: (at) => at.slice(this.#prefix.length),
    })
  }

  async activate(request: ActivationRequest, ctx: OpContext): Promise<Activation> {
    const before = this.#marker.generation
    try {
      const key = await this.#tools.prepare(ctx)
      // The first question: who may not log in, or has no such pool, hears of it here.
      await this.#images.names(ctx.signal)
      await this.#checkCluster(ctx)
      if (request.mode === 'initialise') await this.#checkApplication(ctx)
      const generation = await this.#marker.claim(request, ctx)
      await this.#work.sweep(ctx)
      await this.volumes.count(ctx.signal)
      await this.#secret.set(key, ctx)
      return { outcome: before === generation ? 'already-active' : 'activated', generation }
    } catch (error) {
      if (request.mode === 'initialise' && before === undefined) {
        this.#marker.leave()
        await this.#tools.discard()
      }
      throw error
    }
  }

  async deactivate(ctx: OpContext): Promise<'deactivated' | 'already-inactive'> {
    await this.#secret.remove(ctx)
    await this.#tools.discard()
    return this.#marker.leave() ? 'deactivated' : 'already-inactive'
  }

  /** Looks at the pool now. Never throws: what is wrong is in the answer. */
  async probe(ctx: OpContext): Promise<ProbeResult> {
    const startedAt = monotonicMs()
    try {
      await this.#marker.check(ctx.signal, PROBE_TIMEOUT_MS)
      const volumeCount = await this.volumes.count(ctx.signal, PROBE_TIMEOUT_MS)
      const space = await this.#space.space(ctx.signal, PROBE_TIMEOUT_MS)
      await this.#secret.handOver(ctx)
      await this.#work.sweepIfDue(ctx)
      return {
        ...space,
        volumeCount,
        ...judgeSpace(space),
        observedAt: Date.now(),
        probeLatencyMs: Math.round(monotonicMs() - startedAt),
      }
    } catch (error) {
      return unreachable(error, monotonicMs() - startedAt)
    }
  }

  /** Where guests and tools find a volume; the key is with libvirt by then if libvirt answers. VOLUME_NOT_FOUND. */
  async diskSource(name: string, ctx: OpContext): Promise<DiskSource> {
    const { source } = await this.volumes.require(name, ctx)
    await this.#secret.handOver(ctx)
    return source
  }

  /** True for every image of the pool or namespace; with monitors only when one of them is one of this cluster's. */
  holds(text: string, monitors: readonly string[] = []): boolean {
    if (!text.startsWith(this.#prefix) || text.slice(this.#prefix.length).includes('/')) return false
    return monitors.length === 0 || sharesMonitor(this.#options.client.monitors, monitors)
  }

  /** Hands on the result of work that changes what is stored; the numbers known so far are void then. */
  async changing<T>(work: Promise<T>): Promise<T> {
    try {
      return await work
    } finally {
      this.#space.forget()
    }
  }

  get #prefix(): string {
    return `rbd:${this.name}/`
  }

  async #checkCluster(ctx: OpContext): Promise<void> {
    const { clusterId, client } = this.#options
    if (!isUuid(clusterId)) return
    const fsid = (await this.#tools.run({ tool: 'ceph', args: ['fsid'] }, ctx.signal)).stdout.trim()
    if (fsid === clusterId.toLowerCase()) return
    throw new AgentError(
      'POOL_IDENTITY_MISMATCH',
      `${clusterName(client)} has the fsid ${fsid}, not ${clusterId} as ceph.cluster_id says`,
    )
  }

  // Data of a file system or of an object gateway is no place for images.
  async #checkApplication(ctx: OpContext): Promise<void> {
    const { pool } = this.#options.place
    const args = ['osd', 'pool', 'application', 'get', pool, '--format', 'json']
    let answer: string
    try {
      answer = (await this.#tools.run({ tool: 'ceph', args }, ctx.signal)).stdout
    } catch (error) {
      // A user that may not ask was given this pool by somebody who knows what it is for.
      if (isAgentError(error, 'LOGIN_DENIED', 'CEPH_POOL_MISSING')) return
      throw error
    }
    const applications = Object.keys(applicationsSchema.parse(JSON.parse(answer)))
    if (applications.length === 0 || applications.includes('rbd')) return
    throw new AgentError(
      'POOL_DATA_FOREIGN',
      `Ceph pool ${pool} is for ${applications.join(', ')}, not for RBD; use another one, or: ceph osd pool application enable ${pool} rbd`,
    )
  }

  #source(image: string): RbdSource {
    const { place, client } = this.#options
    return {
      type: 'network',
      protocol: 'rbd',
      name: imageSpec(place, image),
      monitors: client.monitors,
      user: client.user,
      secretUuid: this.#secret.uuid,
      configFile: this.#tools.configFile,
      format: 'raw',
    }
  }
}
