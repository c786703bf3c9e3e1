import type { VolumeSnapshots } from './backend.ts'
import type { RbdImages } from './rbd-images.ts'
import { isWorkSnapshot, volumeImage } from './rbd-name.ts'
import type { RbdVolumes } from './rbd-volumes.ts'
import { AgentError } from '../core/errors.ts'
import { parseSnapshotName } from './volume-name.ts'

/** Work that must not be cut in the middle by the caller's signal: each step ends by its own deadline. */
const UNINTERRUPTED = new AbortController().signal

/** Snapshots of RBD images. One that clones were made from can be deleted: the cluster keeps what they share, unseen, for as long as they need it. */
export function rbdSnapshots(images: RbdImages, volumes: RbdVolumes): VolumeSnapshots {
  const list = async (volume: string, signal: AbortSignal) => {
    const found = await images.snapshots(volumeImage(volume), signal)
    return found.filter(({ name }) => !isWorkSnapshot(name)).map(({ name, createdAt }) => ({ name, createdAt }))
  }
  return {
    async create(volume, snapshot, ctx) {
      parseSnapshotName(snapshot)
      return volumes.locks.run(volume, ctx.signal, async () => {
        await volumes.require(volume, ctx)
        await images.createSnapshot(volumeImage(volume), snapshot, UNINTERRUPTED)
        const made = (await list(volume, ctx.signal)).find(({ name }) => name === snapshot)
        if (made !== undefined) return made
        throw new AgentError('CONFLICT', `snapshot ${snapshot} of volume ${volume} was removed by another host; retry`)
      })
    },
    async list(volume, ctx) {
      await volumes.require(volume, ctx)
      return list(volume, ctx.signal)
    },
    async delete(volume, snapshot, ctx) {
      parseSnapshotName(snapshot)
      return volumes.locks.run(volume, ctx.signal, async () => {
        if ((await volumes.get(volume, ctx)) === undefined) return 'already-deleted'
        const there = (await list(volume, ctx.signal)).some(({ name }) => name === snapshot)
        if (!there) return 'already-deleted'
        await images.removeSnapshot(volumeImage(volume), snapshot, UNINTERRUPTED)
        return 'deleted'
      })
    },
  }
}
