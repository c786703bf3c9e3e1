import type { Logger, OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { ImageFilter, ImageListing, LibraryImage, UsedImage } from '../core/model.ts'
import { isInFolder, parseFolder, type ImageFolders } from '../images/library/image-folders.ts'
import type { ImageLibrary } from '../images/library/image-library.ts'
import type { LibraryService } from './contracts.ts'

export interface LibraryServiceDeps {
  readonly library: ImageLibrary
  readonly folders: ImageFolders
  /** Names of those who use the files, by path; undefined while that cannot be told. */
  readonly users: () => ReadonlyMap<string, readonly string[]> | undefined
  /** Deletes a file or a volume, refusing what somebody uses. */
  readonly deleteImage: (image: LibraryImage, ctx: OpContext) => Promise<void>
  /** Tells the control plane again; how many images. */
  readonly sync: () => number
  readonly log: Logger
}

/** A list that is older is made anew before it is shown. */
const LIST_MAX_AGE_MS = 5_000
const CHANGE_TIMEOUT_MS = 60_000

/** LibraryService on an ImageLibrary. */
export function createLibraryService(deps: LibraryServiceDeps): LibraryService {
  const { library, folders } = deps
  const listing = (filter: ImageFilter): ImageListing => {
    const users = deps.users()
    const images = library.images().filter((image) => fits(image, filter))
    const unseen = library.states().flatMap(({ place, error }) => {
      return error === undefined ? [] : [{ place: place.name, reason: error.reason, message: error.message }]
    })
    return { images: images.map((image) => used(image, users)), unseen }
  }
  const find = async (imageId: string, signal: AbortSignal): Promise<UsedImage> => {
    const known = () => library.images().find(({ id }) => id === imageId)
    const image = known()
    // It may have come a moment ago, or have gone.
    await abortable(library.refresh(image === undefined ? 0 : LIST_MAX_AGE_MS), signal)
    const present = known()
    if (present === undefined)
      throw new AgentError('IMAGE_NOT_FOUND', `image ${imageId} is on this host no more or not yet`)
    return used(present, deps.users())
  }
  const change = async (signal: AbortSignal, work: (ctx: OpContext) => Promise<void>): Promise<void> => {
    signal.throwIfAborted()
    await abortable(work({ signal: AbortSignal.timeout(CHANGE_TIMEOUT_MS), log: deps.log }), signal)
  }
  return {
    async list(filter, signal) {
      const checked = filter.folder === undefined ? filter : { ...filter, folder: parseFolder(filter.folder) }
      await abortable(library.refresh(LIST_MAX_AGE_MS), signal)
      return listing(checked)
    },
    get: find,
    folders: () => [...new Set(library.images().map(({ folder }) => folder))].sort(),
    async move(imageId, folder, signal) {
      const { id } = await find(imageId, signal)
      await folders.move(id, parseFolder(folder))
      library.changed()
      return find(imageId, signal)
    },
    async delete(imageId, signal) {
      const image = await find(imageId, signal)
      const { users } = image
      if (users === undefined) {
        throw new AgentError(
          'LIBVIRT_UNAVAILABLE',
          `image ${image.fileName} is not deleted while libvirt cannot tell which VMs stand on it`,
        )
      }
      if (users.length > 0) throw inUse(image, users.join(', '))
      await change(signal, async (ctx) => {
        await deps.deleteImage(image, ctx).catch((error: unknown) => {
          if (isAgentError(error, 'FILE_IN_USE', 'VOLUME_IN_USE')) throw inUse(image, error.message)
          throw error
        })
        await folders.forget(image.id)
        await library.refresh(0)
      })
    },
    async scan(signal) {
      await abortable(library.refresh(0), signal)
      return listing({})
    },
    sync: () => deps.sync(),
  }
}

function used(image: LibraryImage, users: ReadonlyMap<string, readonly string[]> | undefined): UsedImage {
  return users === undefined ? image : { ...image, users: users.get(image.volume?.place ?? image.path) ?? [] }
}

function fits(image: LibraryImage, { poolId, kind, folder, subfolders = false }: ImageFilter): boolean {
  if (poolId !== undefined && image.poolId !== poolId) return false
  if (kind !== undefined && (kind === 'iso') !== (image.format === 'iso')) return false
  return folder === undefined || isInFolder(image.folder, { asked: folder, subfolders })
}

function inUse({ fileName }: LibraryImage, by: string): AgentError {
  return new AgentError('IMAGE_IN_USE', `image ${fileName} is used by ${by}`)
}
