import type { OpContext } from '../core/context.ts'
import { MIB } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import type { DiskSource, Volume } from '../core/model.ts'
import type { VolumeSpec } from './backend.ts'
import type { PoolManager } from './pool-manager.ts'
import { imageInfo } from './qemu-img.ts'
import { parseVolumeName } from './volume-name.ts'

/** Header and first tables of a sparse image. */
const SPARSE_BYTES = 4 * MIB

/** Volumes of any pool, with what no backend knows: space promised to others, and who uses a volume. */
export interface VolumeManager {
  /** Errors: those of PoolBackend.createVolume, POOL_FULL before anything is written, POOL_UNAVAILABLE. */
  create(poolId: string, spec: VolumeSpec, ctx: OpContext): Promise<Volume>
  list(poolId: string, ctx: OpContext): Promise<Volume[]>
  /** VOLUME_NOT_FOUND. */
  get(poolId: string, name: string, ctx: OpContext): Promise<Volume>
  /** Refused with VOLUME_IN_USE, naming the users; success when it is gone. */
  delete(poolId: string, name: string, ctx: OpContext, owner?: string): Promise<'deleted' | 'already-deleted'>
  /** Grows a volume nobody uses (a running guest grows its disk through libvirt). UNIMPLEMENTED where the backend cannot. */
  resize(poolId: string, name: string, sizeBytes: number, ctx: OpContext): Promise<Volume>
}

/** A VolumeManager on a pool manager. */
export function createVolumeManager(pools: PoolManager): VolumeManager {
  const refuseInUse = async (poolId: string, name: string, source: DiskSource, ctx: OpContext) => {
    const place = source.type === 'file' ? source.path : source.device
    const users = await pools.users(await pools.require(poolId, ctx), ctx)
    const names = [...new Set(users.filter(({ path }) => path === place).map((user) => user.name))]
    if (names.length === 0) return
    throw new AgentError('VOLUME_IN_USE', `volume ${name} is used by ${names.join(', ')}; detach it first`)
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
    async create(poolId, spec, ctx) {
      const { backend } = await pools.require(poolId, ctx)
      const reservation = await pools.reserve(
        poolId,
        await firstBytes(spec, ctx),
        ctx,
        `creation of volume ${spec.name}`,
      )
      try {
        return await backend.createVolume(spec, ctx)
      } finally {
        reservation.release()
      }
    },
    async list(poolId, ctx) {
      return (await pools.require(poolId, ctx)).backend.listVolumes(ctx)
    },
    async get(poolId, name, ctx) {
      return (await get(poolId, name, ctx)).volume
    },
    async delete(poolId, name, ctx, owner) {
      const { backend, volume } = await find(poolId, name, ctx)
      if (volume !== undefined) await refuseInUse(poolId, name, volume.source, ctx)
      return backend.deleteVolume(name, ctx, owner)
    },
    async resize(poolId, name, sizeBytes, ctx) {
      const { backend, volume } = await get(poolId, name, ctx)
      if (backend.resize === undefined) {
        throw new AgentError('UNIMPLEMENTED', `volumes of ${backend.kind} pools cannot be resized in this version`)
      }
      await refuseInUse(poolId, name, volume.source, ctx)
      return backend.resize(name, sizeBytes, ctx)
    },
  }
}

async function firstBytes({ content }: VolumeSpec, ctx: OpContext): Promise<number> {
  if (content.type !== 'copy') return SPARSE_BYTES
  return SPARSE_BYTES + (await imageInfo(content.path, content.format, ctx)).allocatedBytes
}
