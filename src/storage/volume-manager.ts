import type { OpContext } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { placeOf, type UsedVolume, type Volume, type VolumeSnapshot } from '../core/model.ts'
import type { CreateOptions, PoolBackend, VolumeSnapshots, VolumeSpec } from './backend.ts'
import { firstBytes } from './first-bytes.ts'
import type { PoolUser } from './pool-access.ts'
import type { PoolManager } from './pool-manager.ts'
import { parseSnapshotName, parseVolumeName } from './volume-name.ts'

/** Volumes of any pool, with what no backend knows: space promised to others, and who uses a volume. All errors of `PoolAccess.require` besides those named. */
export interface VolumeManager {
  /** Errors: those of PoolBackend.createVolume, POOL_FULL before anything is written, VOLUME_IN_USE for a clone of what a running VM writes to. */
  create(poolId: string, spec: VolumeSpec, ctx: OpContext, options?: CreateOptions): Promise<Volume>
  list(poolId: string, ctx: OpContext): Promise<UsedVolume[]>
  /** VOLUME_NOT_FOUND. */
  get(poolId: string, name: string, ctx: OpContext): Promise<Volume>
  /** Refused with VOLUME_IN_USE, naming the users; success when it is gone. */
  delete(poolId: string, name: string, ctx: OpContext, owner?: string): Promise<'deleted' | 'already-deleted'>
  /**
   * Grows a volume that no running VM has open; users of `owner` do not count, because the caller deals with them. VOLUME_IN_USE, VOLUME_TOO_SMALL, UNIMPLEMENTED where
   * the backend cannot.
   */
  resize(poolId: string, name: string, sizeBytes: number, ctx: OpContext, owner?: string): Promise<Volume>
  /** Of a volume that no running VM has open. VOLUME_IN_USE, SNAPSHOT_UNSUPPORTED, those of VolumeSnapshots. */
  createSnapshot(poolId: string, name: string, snapshot: string, ctx: OpContext): Promise<VolumeSnapshot>
  /** Oldest first; none where the pool has no snapshots. VOLUME_NOT_FOUND. */
  listSnapshots(poolId: string, name: string, ctx: OpContext): Promise<VolumeSnapshot[]>
  /** Success when it is gone. VOLUME_IN_USE while a running VM has the volume open, SNAPSHOT_IN_USE. */
  deleteSnapshot(poolId: string, name: string, snapshot: string, ctx: OpContext): Promise<'deleted' | 'already-deleted'>
}

/** A VolumeManager on a pool manager. */
export function createVolumeManager(pools: PoolManager): VolumeManager {
  const refuseInUse = async (poolId: string, volume: Volume, counts: (user: PoolUser) => boolean, ctx: OpContext) => {
    const place = placeOf(volume.source)
    const users = await pools.users(await pools.require(poolId, ctx), ctx)
    const names = namesOf(users.filter((user) => user.path === place && counts(user)))
    if (names.length === 0) return
    throw new AgentError('VOLUME_IN_USE', `volume ${volume.name} is used by ${names.join(', ')}; detach it first`)
  }
  const find = async (poolId: string, name: string, ctx: OpContext) => {
    parseVolumeName(name)
    const { backend } = await pools.require(poolId, ctx)
    return { backend, volume: await backend.getVolume(name, ctx) }
  }
  const get = async (poolId: string, name: string, ctx: OpContext) => {
    const { backend, volume } = await find(poolId, name, ctx)
    if (volume === undefined) throw new AgentError('VOLUME_NOT_FOUND', `volume ${name} is missing in pool ${poolId}`)
    return { backend, volume }
  }
  return {
    async create(poolId, spec, ctx, options) {
      const { backend } = await pools.require(poolId, ctx)
      const { content } = spec
      if (content.type === 'clone') {
        const source = await backend.getVolume(content.volume, ctx)
        // The bytes of a snapshot do not change; the bytes of a missing volume are missed by the backend.
        if (source !== undefined && content.snapshot === undefined) await refuseInUse(poolId, source, isWriter, ctx)
      }
      const bytes = await firstBytes(spec, backend, ctx)
      const reservation = await pools.reserve(poolId, bytes, ctx, `creation of volume ${spec.name}`)
      try {
        return await backend.createVolume(spec, ctx, options)
      } finally {
        reservation.release()
      }
    },
    async list(poolId, ctx) {
      const pool = await pools.require(poolId, ctx)
      const volumes = await pool.backend.listVolumes(ctx)
      const users = await pools.users(pool, ctx).catch((error: unknown) => {
        ctx.signal.throwIfAborted()
        // The volumes are worth telling without their users.
        ctx.log.warn({ pool: poolId, err: errorText(error) }, 'the users of a pool cannot be told')
        return undefined
      })
      if (users === undefined) return volumes
      return volumes.map((volume) => {
        const place = placeOf(volume.source)
        return { ...volume, users: namesOf(users.filter(({ path }) => path === place)) }
      })
    },
    async get(poolId, name, ctx) {
      return (await get(poolId, name, ctx)).volume
    },
    async delete(poolId, name, ctx, owner) {
      const { backend, volume } = await find(poolId, name, ctx)
      if (volume !== undefined) await refuseInUse(poolId, volume, () => true, ctx)
      return backend.deleteVolume(name, ctx, owner)
    },
    async resize(poolId, name, sizeBytes, ctx, owner) {
      const { backend, volume } = await get(poolId, name, ctx)
      if (backend.resize === undefined) {
        throw new AgentError('UNIMPLEMENTED', `volumes of ${backend.kind} pools cannot be resized in this version`)
      }
      const others = (user: PoolUser) => hasOpen(user) && (owner === undefined || user.owner !== owner)
      await refuseInUse(poolId, volume, others, ctx)
      return backend.resize(name, sizeBytes, ctx)
    },
    async createSnapshot(poolId, name, snapshot, ctx) {
      parseSnapshotName(snapshot)
      const { backend, volume } = await get(poolId, name, ctx)
      const snapshots = snapshotsOf(backend)
      await refuseInUse(poolId, volume, hasOpen, ctx)
      return snapshots.create(name, snapshot, ctx)
    },
    async listSnapshots(poolId, name, ctx) {
      const { backend } = await get(poolId, name, ctx)
      return (await backend.snapshots?.list(name, ctx)) ?? []
    },
    async deleteSnapshot(poolId, name, snapshot, ctx) {
      parseSnapshotName(snapshot)
      const { backend, volume } = await find(poolId, name, ctx)
      if (volume === undefined || backend.snapshots === undefined) return 'already-deleted'
      await refuseInUse(poolId, volume, hasOpen, ctx)
      return backend.snapshots.delete(name, snapshot, ctx)
    },
  }
}

function isWriter({ access }: PoolUser): boolean {
  return access === undefined || access === 'writes'
}

// QEMU keeps what it read of an image's tables: nobody else may change them meanwhile.
function hasOpen({ access }: PoolUser): boolean {
  return access !== 'idle'
}

function namesOf(users: readonly PoolUser[]): string[] {
  return [...new Set(users.map(({ name }) => name))]
}

function snapshotsOf({ kind, snapshots }: PoolBackend): VolumeSnapshots {
  if (snapshots !== undefined) return snapshots
  throw new AgentError('SNAPSHOT_UNSUPPORTED', `volumes of ${kind} pools have no snapshots; clone the volume instead`)
}
