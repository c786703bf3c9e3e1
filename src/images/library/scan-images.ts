import { closeSync, constants, lstatSync, openSync, opendirSync, readSync } from 'node:fs'
import type { FileHandle } from 'node:fs/promises'
import { isAgentError } from '../../core/errors.ts'
import { withoutQuery } from '../../platform/fetch-policy.ts'
import type { WorkerCall } from '../../platform/workers.ts'
import type { PoolGuard } from '../../storage/pool-guard.ts'
import { volumeFile } from '../../storage/volume-name.ts'
import { isImageExtension, extension } from '../../storage/worker/file-type.ts'
import { at, openDirectory, openPool, openRoot } from '../../storage/worker/pool-root.ts'
import { recordsBelow } from '../../storage/worker/records.ts'
import { readImageHeader } from '../image-header.ts'
import { readManifest } from '../manifest.ts'

/** An image file as a scan found it. */
export interface ScannedImage {
  /** Relative to the root of the scan. */
  readonly path: string
  /** The volume that the image is, in a pool without files, and the place by which VMs name it. */
  readonly volume?: { readonly name: string; readonly place: string }
  readonly sizeBytes: number
  /** Milliseconds since the epoch, by the clock of the file system. */
  readonly modifiedAt: number
  /** By content: `qcow2`, `raw`, `iso`, `vmdk`, `vhdx`, `vpc`, `vdi`. */
  readonly format: string
  /** Size of the disk a guest sees; 0 when it was not looked for. */
  readonly virtualSizeBytes: number
  /** Volume id of an ISO (ECMA-119), else ''. */
  readonly label: string
  /** From our manifest; '' without one. */
  readonly sha256: string
  /** Without query: that may hold a token. */
  readonly url: string
  readonly jobId: string
}

export interface ScanParams {
  /** Present for pools: their mount and marker are checked first. */
  readonly guard?: PoolGuard
  readonly root: string
  /** Levels of directories below the root. */
  readonly depth: number
}

export interface ScanAnswer {
  readonly images: readonly ScannedImage[]
  /** Something was left out because a limit was reached. */
  readonly cut: boolean
}

/** Bounds of one scan: a pool may hold millions of files that are none of ours. */
const MAX_ENTRIES = 50_000
const MAX_IMAGES = 2_000
const MAX_DIRECTORIES = 500
const TIME_MS = 15_000
/** Seeds of VMs are ISOs too. */
const SEED_LABELS = ['cidata', 'config-2']

/**
 * Finds image files below a directory: by name first, then by content. Left out: hidden and unfinished files, volumes (their records tell), overlays and whatever else is no plain image,
 * seeds, links and other mounts. Blocking pool I/O: for helpers. Errors: those of openPool; a directory without a pool that is missing has no images.
 */
export async function scanImages({ guard, root, depth }: ScanParams, call: WorkerCall): Promise<ScanAnswer> {
  let top: FileHandle
  try {
    top = guard === undefined ? await openRoot(root) : await openPool(guard)
  } catch (error) {
    if (guard === undefined && isAgentError(error, 'POOL_PATH_MISSING')) return { images: [], cut: false }
    throw error
  }
  await using directory = top
  const records = guard === undefined ? [] : await recordsBelow(directory)
  const volumes = records.map(({ spec }) => volumeFile(spec.name, spec.format).join('/'))
  const scan = new Scan(new Set(volumes), call.signal)
  await scan.walk(directory, [], depth)
  return { images: scan.images, cut: scan.cut }
}

class Scan {
  readonly images: ScannedImage[] = []
  readonly #volumes: ReadonlySet<string>
  readonly #signal: AbortSignal
  readonly #endAt = performance.now() + TIME_MS
  #entries = 0
  #directories = 0
  cut = false

  constructor(volumes: ReadonlySet<string>, signal: AbortSignal) {
    this.#volumes = volumes
    this.#signal = signal
  }

  async walk(root: FileHandle, components: readonly string[], depth: number): Promise<void> {
    if (++this.#directories > MAX_DIRECTORIES) this.cut = true
    if (this.#isOver()) return
    const { files, directories } = await this.#list(root, components)
    await using directory = await openDirectory(root, components)
    for (const name of files) {
      if (this.#isOver()) return
      const image = await this.#look(directory, name, [...components, name].join('/'))
      if (image !== undefined) this.images.push(image)
    }
    if (depth === 0) return
    for (const name of directories) {
      if (this.#isOver()) return
      // Gone, or a link or mount that came in its place.
      await this.walk(root, [...components, name], depth - 1).catch((error: unknown) => {
        if (!isAgentError(error, 'FILE_NOT_FOUND', 'FILE_NOT_DIRECTORY', 'INVALID_PATH')) throw error
      })
    }
  }

  async #list(root: FileHandle, components: readonly string[]): Promise<{ files: string[]; directories: string[] }> {
    await using directory = await openDirectory(root, components)
    const files: string[] = []
    const directories: string[] = []
    const entries = opendirSync(at(directory, '.'), { bufferSize: 1024 })
    try {
      for (let entry = entries.readSync(); entry !== null; entry = entries.readSync()) {
        if (++this.#entries > MAX_ENTRIES) this.cut = true
        if (this.#isOver()) break
        const { name } = entry
        if (name.startsWith('.') || name === 'lost+found') continue
        if (entry.isDirectory()) directories.push(name)
        else if (entry.isFile() && isImageExtension(extension(name))) files.push(name)
      }
    } finally {
      entries.closeSync()
    }
    return { files: files.sort(), directories: directories.sort() }
  }

  // What cannot be read or is no plain image is not listed.
  async #look(directory: FileHandle, name: string, path: string): Promise<ScannedImage | undefined> {
    if (this.#volumes.has(path)) return undefined
    const file = at(directory, name)
    const stat = lstatSync(file, { throwIfNoEntry: false })
    if (stat === undefined || !stat.isFile() || stat.size === 0) return undefined
    const content = await contentOf(file)
    if (content === undefined || SEED_LABELS.includes(content.label.toLowerCase())) return undefined
    const manifest = await readManifest(file)
    const ours = manifest?.sizeBytes === stat.size && manifest.mtimeMs === stat.mtimeMs ? manifest : undefined
    return {
      path,
      sizeBytes: stat.size,
      modifiedAt: Math.trunc(stat.mtimeMs),
      ...content,
      sha256: ours?.digests.sha256 ?? '',
      url: bareUrl(ours?.url ?? ''),
      jobId: ours?.jobId ?? '',
    }
  }

  #isOver(): boolean {
    this.#signal.throwIfAborted()
    if (performance.now() > this.#endAt || this.images.length >= MAX_IMAGES) this.cut = true
    return this.cut
  }
}

function bareUrl(text: string): string {
  const url = URL.parse(text)
  return url === null ? '' : withoutQuery(url)
}

type Content = Pick<ScannedImage, 'format' | 'virtualSizeBytes' | 'label'>

async function contentOf(file: string): Promise<Content | undefined> {
  try {
    const { format, virtualSizeBytes } = await readImageHeader(file)
    return { format, virtualSizeBytes, label: format === 'iso' ? isoLabel(file) : '' }
  } catch (error) {
    if (isAgentError(error, 'POOL_IO_ERROR')) throw error
    return undefined
  }
}

/** Where the primary volume descriptor of an ISO has the volume id (ECMA-119, 8.4): sector 16, bytes 40 to 71. */
const LABEL_AT = 16 * 2048 + 40
const LABEL_BYTES = 32

function isoLabel(file: string): string {
  const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants
  const fd = openSync(file, O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  try {
    const label = Buffer.alloc(LABEL_BYTES)
    readSync(fd, label, 0, LABEL_BYTES, LABEL_AT)
    return label
      .toString('latin1')
      .replaceAll(/[^\x20-\x7e]/g, '')
      .trim()
  } finally {
    closeSync(fd)
  }
}
