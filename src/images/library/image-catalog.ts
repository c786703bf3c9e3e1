import type { CatalogImage, CatalogListing } from '../../core/model.ts'
import { BUILTIN_CATALOG } from './catalog.ts'
import { readCatalogFiles } from './catalog-files.ts'

/** The built-in catalog with what the files of `directory` add, replace and remove; read anew at every question, so that a changed file counts at once. */
export class ImageCatalog {
  readonly #directory: string

  constructor(directory: string) {
    this.#directory = directory
  }

  /** Every image, by id. */
  async list(): Promise<CatalogListing> {
    const { images, removed, problems } = await readCatalogFiles(this.#directory)
    const byId = new Map<string, CatalogImage>()
    for (const image of BUILTIN_CATALOG) if (!removed.has(image.id)) byId.set(image.id, image)
    for (const image of images) byId.set(image.id, image)
    return { images: [...byId.values()].sort((a, b) => (a.id < b.id ? -1 : 1)), problems }
  }

  /** The image with this id, or undefined. */
  async find(id: string): Promise<CatalogImage | undefined> {
    return (await this.list()).images.find((image) => image.id === id)
  }
}
