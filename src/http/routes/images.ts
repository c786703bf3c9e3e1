import { z } from 'zod'
import { parseId, parseUuid } from '../../core/ids.ts'
import type { ImageFilter, ImageListing, UsedImage } from '../../core/model.ts'
import { toUnsigned } from '../../core/wire-number.ts'
import { neutralise } from '../../core/wire-text.ts'
import type { LibraryService } from '../../services/contracts.ts'
import { fieldChecks } from '../../services/request-fields.ts'
import { ok, noContent, route, type Route } from '../route.ts'
import { time, toTime, unsigned } from '../schemas.ts'

const unseen = z.array(z.object({ place: z.string(), error: z.string(), message: z.string() }))

/** What both lists tell of an image besides the keys of the contract. */
const common = {
  virtualSizeBytes: unsigned,
  defaultUser: z.string(),
  architecture: z.string(),
  sourceUrl: z.string().nullable(),
  usedBy: z.array(z.string()),
  usersKnown: z.boolean().meta({ description: 'false while it cannot be told who uses the image' }),
}

const storageImage = z.object({
  imageId: z.string(),
  name: z.string(),
  path: z.string(),
  sizeBytes: unsigned,
  format: z.string(),
  poolId: z.string().nullable(),
  modifiedAt: time,
  ...common,
})

const image = z.object({
  id: z.string(),
  name: z.string(),
  filename: z.string(),
  folderPath: z.string(),
  sizeBytes: unsigned,
  format: z.string(),
  storagePoolId: z.string().nullable(),
  path: z.string(),
  checksum: z.string().nullable(),
  osFamily: z.string().nullable(),
  osDistribution: z.string().nullable(),
  osVersion: z.string().nullable(),
  createdAt: time,
  updatedAt: time,
  ...common,
})

const listQuery = z.object({
  folder: z.string().optional(),
  includeSubfolders: z.enum(['true', 'false']).optional(),
  poolId: z.string().optional(),
  kind: z.enum(['iso', 'disk']).optional(),
})

const imageParams = z.object({ id: z.string() })
const imageIdOf = (params: { id: string }) => parseUuid(params.id, 'id')
const imageList = z.object({ images: z.array(image), count: unsigned, unseen })

/** The images and ISOs of this host (contract, 5.8). */
export function imageRoutes(library: LibraryService): Route[] {
  return [
    route({
      method: 'GET',
      url: '/api/v1/storage/images',
      summary: 'Image files of this host, with who uses each',
      query: listQuery.pick({ poolId: true, kind: true }),
      responses: { 200: z.object({ images: z.array(storageImage), unseen }) },
      async handle({ query, signal }) {
        const listing = await library.list(toFilter(query), signal)
        return ok({ images: listing.images.map(toStorageBody), unseen: toUnseen(listing) })
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/images',
      summary: 'Images and ISOs by folder; places that could not be looked at are named in `unseen`',
      query: listQuery,
      responses: { 200: imageList },
      handle: async ({ query, signal }) => ok(toListBody(await library.list(toFilter(query), signal))),
    }),
    route({
      method: 'GET',
      url: '/api/v1/images/folders',
      summary: 'Folders that have images',
      responses: { 200: z.object({ folders: z.array(z.string()) }) },
      handle: () => ok({ folders: library.folders() }),
    }),
    route({
      method: 'POST',
      url: '/api/v1/images/scan',
      summary: 'Look for images in every pool and directory now',
      responses: { 200: imageList },
      handle: async ({ signal }) => ok(toListBody(await library.scan(signal))),
    }),
    route({
      method: 'POST',
      url: '/api/v1/images/sync',
      summary: 'Tell the control plane of every image again',
      responses: { 200: z.object({ success: z.boolean(), count: unsigned, message: z.string() }) },
      handle() {
        const count = library.sync()
        const message = count === 0 ? 'there is nothing to tell, or nobody to tell it to' : `${count} images are told`
        return ok({ success: true, count, message })
      },
    }),
    route({
      method: 'GET',
      url: '/api/v1/images/:id',
      summary: 'One image',
      params: imageParams,
      responses: { 200: image },
      handle: async ({ params, signal }) => ok(toImageBody(await library.get(imageIdOf(params), signal))),
    }),
    route({
      method: 'POST',
      url: '/api/v1/images/:id/move',
      summary: 'Put an image into another folder; its file stays where it is',
      params: imageParams,
      body: z.object({ folderPath: z.string() }),
      responses: { 200: image },
      handle: async ({ params, body, signal }) =>
        ok(toImageBody(await library.move(imageIdOf(params), body.folderPath, signal))),
    }),
    route({
      method: 'DELETE',
      url: '/api/v1/images/:id',
      summary: 'Delete the file of an image that nobody uses',
      params: imageParams,
      responses: { 204: null },
      async handle({ params, signal }) {
        await library.delete(imageIdOf(params), signal)
        return noContent
      },
    }),
  ]
}

function toFilter({ folder, includeSubfolders, poolId, kind }: z.output<typeof listQuery>): ImageFilter {
  const check = fieldChecks('INVALID_PATH')
  return {
    ...(folder === undefined ? {} : { folder: check.text(folder, 'folder', { maxBytes: 255 }) }),
    ...(includeSubfolders === undefined ? {} : { subfolders: includeSubfolders === 'true' }),
    ...(poolId === undefined ? {} : { poolId: parseId(poolId, 'poolId') }),
    ...(kind === undefined ? {} : { kind }),
  }
}

function toListBody(listing: ImageListing): z.input<typeof imageList> {
  return { images: listing.images.map(toImageBody), count: listing.images.length, unseen: toUnseen(listing) }
}

function toUnseen(listing: ImageListing): z.input<typeof unseen> {
  return listing.unseen.map(({ place, reason, message }) => {
    return { place, error: reason.toLowerCase(), message: neutralise(message) }
  })
}

function toCommon({ virtualSizeBytes, os, url, users }: UsedImage) {
  return {
    virtualSizeBytes: toUnsigned(virtualSizeBytes),
    defaultUser: os.defaultUser,
    architecture: os.architecture,
    sourceUrl: url || null,
    usedBy: [...(users ?? [])],
    usersKnown: users !== undefined,
  }
}

function toStorageBody(one: UsedImage): z.input<typeof storageImage> {
  return {
    imageId: one.id,
    name: one.fileName,
    path: one.path,
    sizeBytes: toUnsigned(one.sizeBytes),
    format: one.format,
    poolId: one.poolId || null,
    modifiedAt: toTime(one.modifiedAt),
    ...toCommon(one),
  }
}

function toImageBody(one: UsedImage): z.input<typeof image> {
  const { os } = one
  return {
    id: one.id,
    name: one.name,
    filename: one.fileName,
    folderPath: one.folder,
    sizeBytes: toUnsigned(one.sizeBytes),
    format: one.format,
    storagePoolId: one.poolId || null,
    path: one.path,
    checksum: one.checksum || null,
    osFamily: os.family === 'unknown' ? null : os.family,
    osDistribution: os.distribution || null,
    osVersion: os.version || null,
    createdAt: toTime(one.modifiedAt),
    updatedAt: toTime(one.modifiedAt),
    ...toCommon(one),
  }
}
