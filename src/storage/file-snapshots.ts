import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import type { Volume, VolumeSnapshot } from '../core/model.ts'
import type { VolumeSnapshots } from './backend.ts'
import { changeSnapshot, imageInfo, imagePlace } from './qemu-img.ts'
import { parseSnapshotName, parseVolumeName } from './volume-name.ts'

/** What snapshots need of the volumes they are of: the lock of each name, and the volume (undefined when it is missing). */
export interface SnapshotVolumes {
  readonly locks: KeyedLock
  get(name: string, ctx: OpContext): Promise<Volume | undefined>
  /** VOLUME_NOT_FOUND. */
  require(name: string, ctx: OpContext): Promise<Volume>
  /** A failed write to the volume, with the numbers when the pool is full. */
  explained(error: unknown, name: string, ctx: OpContext): Promise<unknown>
}

/**
 * Snapshots inside qcow2 files. QEMU writes a new snapshot table beside the old one and then changes the header with one write, so a kill at any point leaves the
 * old list or the new one, and at worst clusters that nothing uses. Clones are full copies: they need no snapshot.
 */
export function fileSnapshots(volumes: SnapshotVolumes): VolumeSnapshots {
  const listed = async (volume: Volume, ctx: OpContext): Promise<readonly VolumeSnapshot[]> => {
    if (volume.format !== 'qcow2') return []
    return (await imageInfo(imagePlace(volume.source), volume.format, ctx)).snapshots
  }
  return {
    async create(volume, snapshot, ctx) {
      parseVolumeName(volume)
      parseSnapshotName(snapshot)
      return volumes.locks.run(volume, ctx.signal, async () => {
        const file = await volumes.require(volume, ctx)
        if (file.format !== 'qcow2') {
          throw new AgentError(
            'SNAPSHOT_UNSUPPORTED',
            `volume ${volume} is a ${file.format} file, which has no snapshots`,
          )
        }
        const named = async () => (await listed(file, ctx)).find(({ name }) => name === snapshot)
        const present = await named()
        if (present !== undefined) return present
        await changeSnapshot('create', imagePlace(file.source), snapshot, ctx).catch(async (error: unknown) => {
          throw await volumes.explained(error, volume, ctx)
        })
        const made = await named()
        if (made === undefined) {
          throw new AgentError('POOL_IO_ERROR', `snapshot ${snapshot} of volume ${volume} vanished while it was made`)
        }
        return made
      })
    },
    async list(volume, ctx) {
      parseVolumeName(volume)
      return [...(await listed(await volumes.require(volume, ctx), ctx))]
    },
    async delete(volume, snapshot, ctx) {
      parseVolumeName(volume)
      parseSnapshotName(snapshot)
      return volumes.locks.run(volume, ctx.signal, async () => {
        const file = await volumes.get(volume, ctx)
        if (file === undefined) return 'already-deleted'
        if (!(await listed(file, ctx)).some(({ name }) => name === snapshot)) return 'already-deleted'
        await changeSnapshot('delete', imagePlace(file.source), snapshot, ctx)
        return 'deleted'
      })
    },
  }
}
