import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { LibraryImage } from '../../core/model.ts'
import type { StateCollection } from '../../platform/state-store.ts'

/** What people say of an image; everything else is told by the file. */
export interface ImageNote {
  readonly folder: string
}

/** Where ISOs of a pool are for control planes (contract 3.8), and where all else is. */
const ISO_FOLDER = '/iso'
const ROOT_FOLDER = '/'
const MAX_BYTES = 255

/** A folder as people write it, normalised: `/`, `/linux/server`. INVALID_PATH. */
export function parseFolder(text: string): string {
  const parts = text.split('/').filter((part) => part !== '')
  const bad = parts.some((part) => part === '.' || part === '..' || /[\u0000-\u001f\u007f]/.test(part))
  if (bad || Buffer.byteLength(text) > MAX_BYTES) {
    throw new AgentError(
      'INVALID_PATH',
      `folder ${quote(text)} is not allowed; use names joined by "/", at most ${MAX_BYTES} bytes`,
    )
  }
  return `/${parts.join('/')}`
}

/** True for `folder` itself, and for what is below it when `subfolders`. */
export function isInFolder(folder: string, { asked, subfolders }: { asked: string; subfolders: boolean }): boolean {
  if (folder === asked) return true
  return subfolders && folder.startsWith(asked === ROOT_FOLDER ? ROOT_FOLDER : `${asked}/`)
}

/** Folders of images: a way for people to sort them, kept by the image's id. Moving one moves no file. */
export class ImageFolders {
  readonly #store: StateCollection<ImageNote>
  #notes = new Map<string, ImageNote>()

  constructor(store: StateCollection<ImageNote>) {
    this.#store = store
  }

  /** Reads what is kept. */
  async load(): Promise<void> {
    this.#notes = new Map(await this.#store.entries())
  }

  /** The folder of an image. */
  of(image: Pick<LibraryImage, 'id' | 'poolId' | 'relativePath'>): string {
    const inIso = image.poolId !== '' && /^iso\//.test(image.relativePath)
    return this.#notes.get(image.id)?.folder ?? (inIso ? ISO_FOLDER : ROOT_FOLDER)
  }

  /** Puts an image into a folder, durably. */
  async move(id: string, folder: string): Promise<void> {
    await this.#store.put(id, { folder })
    this.#notes.set(id, { folder })
  }

  /** The image is gone. */
  async forget(id: string): Promise<void> {
    if (!this.#notes.delete(id)) return
    await this.#store.delete(id)
  }
}
