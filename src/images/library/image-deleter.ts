import type { OpContext } from '../../core/context.ts'
import { AgentError } from '../../core/errors.ts'
import type { LibraryImage } from '../../core/model.ts'
import type { WorkerProcess } from '../../platform/workers.ts'
import type { FileBrowser } from '../../storage/browser.ts'
import type { ImageVolumes } from '../image-volume.ts'

const TIMEOUT_MS = 30_000

/**
 * Deletes the files of images: in a pool as its file browser does, elsewhere in `worker`, which serves the storage methods; and the volumes that images are. What a volume of any pool stands on is refused. Errors:
 * FILE_IN_USE, VOLUME_IN_USE, IMAGE_IN_USE, POOL_UNAVAILABLE when a pool cannot be asked.
 */
export function imageDeleter(options: {
  readonly files: Pick<FileBrowser, 'delete' | 'overlaysOn'>
  readonly volumes: Pick<ImageVolumes, 'delete'>
  readonly worker: WorkerProcess
}): (image: LibraryImage, ctx: OpContext) => Promise<void> {
  const { files, volumes, worker } = options
  return async (image, ctx) => {
    const { poolId, relativePath, path, volume } = image
    if (volume !== undefined) {
      await volumes.delete({ poolId, volume: volume.name }, ctx)
      return
    }
    if (poolId !== '') {
      await files.delete(poolId, relativePath, ctx)
      return
    }
    const overlays = await files.overlaysOn(path, '', ctx)
    if (overlays.length > 0) {
      throw new AgentError('IMAGE_IN_USE', `image ${path} is used by ${overlays.slice(0, 10).join(', ')}`)
    }
    const root = path.slice(0, -relativePath.length - 1)
    const params = { root, components: relativePath.split('/') }
    await worker.call('deleteImageFile', params, { signal: ctx.signal, timeoutMs: TIMEOUT_MS })
  }
}
