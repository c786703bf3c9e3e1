import { readdir, readFile, stat } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { errorText } from '../../core/errors.ts'
import { isId } from '../../core/ids.ts'
import type { CatalogImage } from '../../core/model.ts'

const httpUrl = z.url({ protocol: /^https?$/, error: 'must be an http or https URL' })

/** An entry of a file: only what is needed has to be given. */
const entry = z.strictObject({
  id: z.string().refine(isId, 'use 1 to 128 letters, digits, dots, dashes and underscores'),
  name: z.string().min(1).max(200).optional(),
  family: z.enum(['linux', 'windows', 'bsd', 'other', 'unknown']).default('linux'),
  distribution: z.string().max(64).default(''),
  version: z.string().max(64).default(''),
  architecture: z.enum(['x86_64', 'aarch64']).default('x86_64'),
  defaultUser: z.string().max(64).default(''),
  provisioning: z.enum(['cloud-init', 'ignition', 'none', 'unknown']).default('cloud-init'),
  url: httpUrl,
  checksum: z.string().optional(),
  checksumUrl: httpUrl.optional(),
  signatureUrl: httpUrl.optional(),
  finalChecksum: z.string().optional(),
  format: z.enum(['qcow2', 'raw']).default('qcow2'),
})

/** An image that is not to be shown or used any more. */
const removal = z.strictObject({ id: z.string().refine(isId), remove: z.literal(true) })

const file = z.strictObject({ images: z.array(z.union([removal, entry])).max(2_000) })

/** What the files of a directory make of a catalog. */
export interface CatalogFiles {
  readonly images: readonly CatalogImage[]
  readonly removed: ReadonlySet<string>
  /** Files that are not used, and why. */
  readonly problems: readonly { readonly file: string; readonly message: string }[]
}

const MAX_BYTES = 4 * 1024 * 1024

/** Reads `*.json` of a local directory in the order of their names; later entries replace earlier ones with the same id. A file that is wrong is a problem and adds nothing. */
export async function readCatalogFiles(directory: string): Promise<CatalogFiles> {
  const images = new Map<string, CatalogImage>()
  const removed = new Set<string>()
  const problems: { file: string; message: string }[] = []
  for (const name of await jsonFiles(directory, problems)) {
    try {
      for (const one of await parseFile(path.join(directory, name))) {
        if ('remove' in one) {
          images.delete(one.id)
          removed.add(one.id)
        } else images.set(one.id, toImage(one, name))
      }
    } catch (error) {
      problems.push({ file: name, message: errorText(error).slice(0, 500) })
    }
  }
  return { images: [...images.values()], removed, problems }
}

async function jsonFiles(directory: string, problems: { file: string; message: string }[]): Promise<string[]> {
  try {
    return (await readdir(directory)).filter((name) => name.endsWith('.json') && !name.startsWith('.')).sort()
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') problems.push({ file: '', message: errorText(error) })
    return []
  }
}

async function parseFile(place: string): Promise<z.output<typeof file>['images']> {
  if ((await stat(place)).size > MAX_BYTES) throw new Error(`is larger than ${MAX_BYTES} bytes`)
  const parsed = file.safeParse(JSON.parse(await readFile(place, 'utf8')))
  if (parsed.success) return parsed.data.images
  const [issue] = parsed.error.issues
  throw new Error(`${issue?.path.join('.') ?? ''}: ${issue?.message ?? 'is not valid'}`)
}

function toImage(one: z.output<typeof entry>, origin: string): CatalogImage {
  const { checksum, checksumUrl, signatureUrl, finalChecksum, name = one.id, ...rest } = one
  return {
    ...rest,
    name,
    origin,
    ...(checksum === undefined ? {} : { checksum }),
    ...(checksumUrl === undefined ? {} : { checksumUrl }),
    ...(signatureUrl === undefined ? {} : { signatureUrl }),
    ...(finalChecksum === undefined ? {} : { finalChecksum }),
  }
}
