import type { Logger, OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { parseId, quote } from '../core/ids.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { CreateVolumeRequest, Volume, VolumeAttachInfo } from '../core/model.ts'
import type { DiskResizer } from '../domains/disk-resize.ts'
import type { PoolAccess } from '../storage/pool-access.ts'
import { formatIn } from '../storage/volume-content.ts'
import type { VolumeManager } from '../storage/volume-manager.ts'
import { parseSnapshotName, parseVolumeName } from '../storage/volume-name.ts'
import type { VolumeService } from './contracts.ts'
import { resolveVolumeOrigin, type FindImage } from './volume-origin.ts'

export interface VolumeServiceParts {
  readonly pools: PoolAccess
  readonly volumes: VolumeManager
  readonly resizer: DiskResizer
  readonly findImage: FindImage
  readonly attachInfo: (volume: Volume) => Promise<VolumeAttachInfo>
  readonly log: Logger
}

/** Copies have deadlines of their own that grow with their size; this one only ends what is stuck besides. */
const CHANGE_TIMEOUT_MS = 6 * 60 * 60_000
/** What control planes send as pool of a disk they know by its id alone (contract 1.4). */
const NO_POOL = ['', 'default']

/** VolumeService on pools and VMs. A caller that hangs up ends its waiting, never a change that was begun: asked again, it gets the same volume. */
export function createVolumeService(parts: VolumeServiceParts): VolumeService {
  const { pools, volumes, resizer, log } = parts
  const reading = (signal: AbortSignal): OpContext => ({ signal, log })
  const changing = async <T>(signal: AbortSignal, work: (ctx: OpContext) => Promise<T>): Promise<T> => {
    signal.throwIfAborted()
    return abortable(work({ signal: AbortSignal.timeout(CHANGE_TIMEOUT_MS), log }), signal)
  }
  const named = (poolId: string, volumeId: string): [string, string] => {
    parseId(poolId, 'pool_id')
    parseVolumeName(volumeId)
    return [poolId, volumeId]
  }
  return {
    create: async (request, signal) => {
      named(request.poolId, request.volumeId)
      return changing(signal, (ctx) => create(request, parts, ctx))
    },
    list: async (poolId, signal) => volumes.list(parseId(poolId, 'pool_id'), reading(signal)),
    delete: async (poolId, volumeId, signal) => {
      const place = named(poolId, volumeId)
      await changing(signal, (ctx) => volumes.delete(...place, ctx))
    },
    async resize(poolId, volumeId, sizeBytes, signal) {
      if (!NO_POOL.includes(poolId)) named(poolId, volumeId)
      await changing(signal, async (ctx) => {
        const disk = resizer.find(NO_POOL.includes(poolId) ? undefined : poolId, volumeId)
        if (disk !== undefined) await resizer.resize(disk, sizeBytes, ctx)
        else await resizeVolume(poolId, volumeId, sizeBytes, ctx)
      })
    },
    attachInfo: async (poolId, volumeId, signal) =>
      parts.attachInfo(await volumes.get(...named(poolId, volumeId), reading(signal))),
    createSnapshot: async (poolId, volumeId, snapshotId, signal) => {
      const place = named(poolId, volumeId)
      parseSnapshotName(snapshotId)
      return changing(signal, (ctx) => volumes.createSnapshot(...place, snapshotId, ctx))
    },
    listSnapshots: async (poolId, volumeId, signal) =>
      volumes.listSnapshots(...named(poolId, volumeId), reading(signal)),
    deleteSnapshot: async (poolId, volumeId, snapshotId, signal) => {
      const place = named(poolId, volumeId)
      parseSnapshotName(snapshotId)
      await changing(signal, (ctx) => volumes.deleteSnapshot(...place, snapshotId, ctx))
    },
  }

  // Without a pool, what is no disk may still be a volume of a pool that has this very id.
  async function resizeVolume(poolId: string, volumeId: string, sizeBytes: number, ctx: OpContext): Promise<void> {
    const missing = () =>
      new AgentError(
        'VOLUME_NOT_FOUND',
        `no VM that the agent made has a disk ${quote(volumeId)}; name the pool of the volume`,
      )
    if (poolId === '') throw missing()
    try {
      await pools.require(poolId, ctx)
    } catch (error) {
      if (NO_POOL.includes(poolId) && isAgentError(error, 'POOL_NOT_FOUND')) throw missing()
      throw error
    }
    await volumes.resize(poolId, volumeId, sizeBytes, ctx)
  }
}

async function create(
  request: CreateVolumeRequest,
  { pools, volumes, findImage }: VolumeServiceParts,
  ctx: OpContext,
): Promise<Volume> {
  const { poolId, volumeId } = request
  const { backend } = await pools.require(poolId, ctx)
  const { content, sizeBytes } = await resolveVolumeOrigin(request, backend, findImage, ctx)
  const format = request.format ?? formatIn(backend.traits, 'qcow2')
  const size = request.sizeBytes === 0 ? sizeBytes : request.sizeBytes
  const spec = { name: volumeId, format, sizeBytes: size, content, owner: `volume:${volumeId}` }
  return volumes.create(poolId, spec, ctx)
}
