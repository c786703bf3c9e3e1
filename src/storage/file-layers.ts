import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { KeyedLock } from '../core/keyed-lock.ts'
import { placeOf, type Volume } from '../core/model.ts'
import type { LayerBase, VolumeLayers } from './backend.ts'
import { commitImage, imageInfo, rebaseImage } from './qemu-img.ts'
import { copyTimeoutMs } from './volume-origin.ts'

/** What layers need of the volumes they are: the lock of each name, the volume, and the record in the pool of what it stands on. */
export interface LayerVolumes {
  readonly locks: KeyedLock
  /** VOLUME_NOT_FOUND. */
  require(name: string, ctx: OpContext): Promise<Volume>
  path(name: string): string
  /** A failed write to what the volume stands on, with the numbers when the pool is full. */
  explained(error: unknown, name: string, ctx: OpContext): Promise<unknown>
  recordBase(name: string, base: LayerBase, ctx: OpContext): Promise<void>
}

/**
 * Overlays as qcow2 files. A commit that is killed has written to the base what the overlay holds anyway, so the disk reads the same as before and the commit may be repeated. Moving an overlay writes
 * its header with one write, then the record: it is the header that counts, and a repetition brings the record up to it.
 */
export function fileLayers(volumes: LayerVolumes): VolumeLayers {
  return {
    path: (volume) => volumes.path(volume),
    commit: (volume, base, ctx) =>
      volumes.locks.run(volume, ctx.signal, async () => {
        const { source, virtualSizeBytes } = await volumes.require(volume, ctx)
        const file = placeOf(source)
        const { backingFile, backingFormat } = await imageInfo(file, 'qcow2', ctx)
        if (backingFile !== base.path || backingFormat !== base.format) {
          throw new AgentError('DISK_CHAIN_BROKEN', `volume ${volume} does not stand on ${quote(base.path)}`)
        }
        await commitImage(file, copyTimeoutMs(virtualSizeBytes), ctx).catch(async (error: unknown) => {
          throw await volumes.explained(error, volume, ctx)
        })
      }),
    putOn: (volume, base, ctx) =>
      volumes.locks.run(volume, ctx.signal, async () => {
        const file = placeOf((await volumes.require(volume, ctx)).source)
        const { backingFile, backingFormat } = await imageInfo(file, 'qcow2', ctx)
        if (backingFile !== base.path || backingFormat !== base.format) await rebaseImage(file, base, ctx)
        await volumes.recordBase(volume, base, ctx)
      }),
  }
}
