import { link, lstat, mkdir, readdir, rename, rm, statfs, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { isInside, TEMP_SUFFIX } from '../platform/files.ts'
import type { PoolGuard } from '../storage/pool-guard.ts'
import { errnoOf, poolError } from '../storage/worker/errno.ts'
import { fileSystemSpace, type FileSystemSpace } from '../storage/worker/file-system-space.ts'
import { at, makeDirectories, openDirectory, openPool, openRoot } from '../storage/worker/pool-root.ts'
import { imageLeases } from './lease/lease-file.ts'
import {
  describesFile,
  manifestPath,
  readManifest,
  removeManifest,
  writeManifest,
  type ImageManifest,
} from './manifest.ts'

/** Where a job puts its image. Plain data for the worker; everything in this file is pool I/O and runs there. */
export interface ImageTarget {
  readonly jobId: string
  /** Pool root, or allowed base directory; `directory` is in it. */
  readonly base: string
  /** Identity of the pool; absent for a base directory without a pool, which is made when it is missing. */
  readonly guard?: PoolGuard
  /** Token of the lease under which the image is made; only its holder may publish. */
  readonly lease?: number
  readonly directory: string
  readonly fileName: string
}

/** A file in the place of the image. */
export interface ExistingImage {
  readonly sizeBytes: number
  readonly mtimeMs: number
  /** Our record of it, when it still describes the file. */
  readonly manifest?: ImageManifest
}

export interface PreparedTarget {
  readonly existing?: ExistingImage
  readonly freeBytes: number
}

/** The image's path. */
export function imagePath(target: ImageTarget): string {
  return path.join(target.directory, target.fileName)
}

/** The name of a file of the job that is not an image yet; only names of this job are ever swept. */
export function tempName(target: ImageTarget, purpose: string): string {
  return `${tempPrefix(target.jobId)}${purpose}${TEMP_SUFFIX}`
}

/** The file of the received bytes, and the journal that tells how many of them count: what a later run of the job goes on with. */
export function receivedNames(target: ImageTarget): { readonly file: string; readonly journal: string } {
  return { file: tempName(target, 'source'), journal: tempName(target, 'journal') }
}

/** The file that the image of a wrapped one is put into. */
export function unwrappedName(target: ImageTarget): string {
  return tempName(target, 'unwrapped')
}

/**
 * Makes the directory inside the pool or base, removes what an interrupted run of this job left but for the received bytes, and looks at the image's place. Errors: those of openTarget, IMAGE_CONFLICT.
 */
export async function prepareTarget(target: ImageTarget): Promise<PreparedTarget> {
  return guarded(target, async () => {
    await using directory = await openTarget(target, 'make')
    const existing = await lookAt(directory, target)
    await sweep(directory, target, existing === undefined ? Object.values(receivedNames(target)) : [])
    const { bavail, bsize } = await statfs(at(directory, '.'))
    return { freeBytes: bavail * bsize, ...(existing === undefined ? {} : { existing }) }
  })
}

/** The space of the file system that the target's directory is on. Errors: those of openTarget. */
export async function targetSpace(target: ImageTarget): Promise<FileSystemSpace> {
  return guarded(target, async () => {
    await using directory = await openTarget(target, 'refuse')
    return await fileSystemSpace(at(directory, '.'))
  })
}

/**
 * The target's directory, opened after the check that the pool is the one that was meant; nothing is followed out of it. Close it. Errors: POOL_IDENTITY_MISMATCH,
 * POOL_PATH_MISSING, TARGET_REFUSED (a link or another mount on the way), POOL_NOT_WRITABLE, POOL_IO_ERROR.
 */
export async function openTarget(target: ImageTarget, missing: 'make' | 'refuse'): Promise<FileHandle> {
  const { base, directory, guard } = target
  if (!isInside(base, directory)) throw refused(directory, 'is outside its base directory')
  if (guard === undefined && missing === 'make') await mkdir(base, { recursive: true, mode: 0o711 })
  await using root = guard === undefined ? await openRoot(base) : await openPool(guard)
  const components = path.relative(base, directory).split('/').filter(Boolean)
  try {
    return missing === 'make' ? await makeDirectories(root, components, []) : await openDirectory(root, components)
  } catch (error) {
    if (!(error instanceof AgentError)) throw error
    if (error.reason !== 'INVALID_PATH' && error.reason !== 'FILE_NOT_DIRECTORY') throw error
    throw refused(directory, `cannot be used: ${error.message}`)
  }
}

/** Gives a complete, durable temp file its name, with the manifest beside it; never replaces a file. Errors: those of openTarget, IMAGE_CONFLICT. */
export async function publishImage(
  target: ImageTarget,
  temp: string,
  manifest: Omit<ImageManifest, 'mtimeMs'>,
): Promise<void> {
  await guarded(target, async () => {
    await using directory = await openTarget(target, 'refuse')
    if ((await lookAt(directory, target)) !== undefined) throw conflict(target)
    const { mtimeMs } = await lstat(at(directory, temp))
    if (target.lease !== undefined) await imageLeases.confirm(directory, target.fileName, target.lease)
    // The manifest goes first: a crash in between leaves a manifest without an image, never an image that looks foreign.
    await writeManifest(at(directory, target.fileName), { ...manifest, mtimeMs })
    await giveName(directory, temp, target)
    await sweep(directory, target)
    await directory.sync()
  })
}

/** Records a file that was in its place before and has been verified. */
export async function adoptImage(target: ImageTarget, manifest: ImageManifest): Promise<void> {
  await guarded(target, async () => {
    await using directory = await openTarget(target, 'refuse')
    await writeManifest(at(directory, target.fileName), manifest)
  })
}

/**
 * Removes everything of a job that did not end well: temp files, and a manifest without an image. Success when nothing is there. A lost pool marker does not stop it, since these
 * names are ours wherever they are.
 */
export async function discardImage(target: ImageTarget): Promise<void> {
  await guarded(target, async () => {
    await using root = await openRoot(target.base)
    const components = path.relative(target.base, target.directory).split('/').filter(Boolean)
    await using directory = await openDirectory(root, components)
    await sweep(directory, target)
    const file = at(directory, target.fileName)
    if ((await statOf(file)) !== undefined) return
    if ((await readManifest(file))?.jobId === target.jobId) await removeManifest(file)
  }).catch((error: unknown) => {
    const gone = error instanceof AgentError && ['FILE_NOT_FOUND', 'POOL_PATH_MISSING'].includes(error.reason)
    if (!gone) throw error
  })
}

async function guarded<T>(target: ImageTarget, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw poolError(error, quote(imagePath(target)))
  }
}

async function sweep(directory: FileHandle, target: ImageTarget, keep: readonly string[] = []): Promise<void> {
  const manifestTemp = `${path.basename(manifestPath(target.fileName))}.`
  // In a pool another host may be writing it just now.
  const alone = target.guard === undefined || target.lease !== undefined
  for (const name of await readdir(at(directory, '.'))) {
    const ours = name.startsWith(tempPrefix(target.jobId)) || (alone && name.startsWith(manifestTemp))
    if (ours && name.endsWith(TEMP_SUFFIX) && !keep.includes(name)) await rm(at(directory, name), { force: true })
  }
}

async function lookAt(directory: FileHandle, target: ImageTarget): Promise<ExistingImage | undefined> {
  const file = at(directory, target.fileName)
  const stats = await statOf(file)
  if (stats === undefined) return undefined
  if (!stats.isFile()) throw conflict(target)
  const facts = { sizeBytes: stats.size, mtimeMs: stats.mtimeMs }
  const manifest = await readManifest(file)
  return manifest !== undefined && describesFile(manifest, facts) ? { ...facts, manifest } : facts
}

async function statOf(file: string) {
  return lstat(file).catch((error: unknown) => {
    if (errnoOf(error) === 'ENOENT') return undefined
    throw error
  })
}

async function giveName(directory: FileHandle, temp: string, target: ImageTarget): Promise<void> {
  const [from, to] = [at(directory, temp), at(directory, target.fileName)]
  try {
    // Unlike rename, link does not replace a file that came there meanwhile.
    await link(from, to)
  } catch (error) {
    const errno = errnoOf(error) ?? ''
    if (errno === 'EEXIST') throw conflict(target)
    if (!['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS'].includes(errno)) throw error
    await rename(from, to)
    return
  }
  await rm(from)
}

function tempPrefix(jobId: string): string {
  return `.lqx-${jobId}-`
}

function conflict(target: ImageTarget): AgentError {
  return new AgentError(
    'IMAGE_CONFLICT',
    `${quote(imagePath(target))} is another file than the image asked for; move it away or use another file name`,
  )
}

function refused(directory: string, text: string): AgentError {
  return new AgentError('TARGET_REFUSED', `targetDir ${quote(directory)} ${text}`)
}
