import { join } from 'node:path'
import type { Logger } from '../../core/context.ts'
import { toAgentError, type AgentError } from '../../core/errors.ts'
import type { LibraryImage } from '../../core/model.ts'
import { monotonicMs } from '../../platform/clock.ts'
import type { ImageFolders } from './image-folders.ts'
import { imageId } from './image-ids.ts'
import { detectOs } from './os-detection.ts'
import type { ScanAnswer, ScannedImage } from './scan-images.ts'

/** Where images are looked for. */
export interface ImagePlace {
  /** For people and as a key: the pool id, or the directory. */
  readonly name: string
  readonly poolId: string
  readonly root: string
  /** Other hosts see the same files. */
  readonly shared: boolean
  scan(signal: AbortSignal): Promise<ScanAnswer>
}

export interface ImageLibraryOptions {
  /** The places of now: pools come and go. */
  readonly places: () => readonly ImagePlace[]
  readonly folders: ImageFolders
  readonly nodeId: string
  /** Paths that jobs work on now. */
  readonly busyPaths: () => ReadonlySet<string>
  /** Paths of disks that VMs write to: no images. Undefined while that cannot be told. */
  readonly diskPaths: () => ReadonlySet<string> | undefined
  readonly log: Logger
}

/** What is known of one place. A failed look leaves the images of the one before. */
export interface PlaceState {
  readonly place: ImagePlace
  /** Undefined before the first look that succeeded. */
  readonly images: readonly LibraryImage[] | undefined
  readonly error: AgentError | undefined
  /** A limit was reached: there may be more. */
  readonly cut: boolean
  /** Monotonic, of the last look that ended. */
  readonly lookedAt: number
}

const SCAN_TIMEOUT_MS = 30_000
const HINT_DELAY_MS = 500

/**
 * The images of this host as the last look at each place saw them. Every place is looked at on its own: one that does not answer fails alone, and its images are neither
 * invented nor taken for deleted.
 */
export class ImageLibrary {
  readonly #options: ImageLibraryOptions
  readonly #states = new Map<string, PlaceState>()
  readonly #looks = new Map<string, Promise<void>>()
  readonly #listeners = new Set<() => void>()
  readonly #stopping = new AbortController()
  #every: NodeJS.Timeout | undefined
  #soon: NodeJS.Timeout | undefined

  constructor(options: ImageLibraryOptions) {
    this.#options = options
  }

  /** Looks at every place that was not looked at for `maxAgeMs`, and waits for it. Never rejects: failures are in `states`. */
  async refresh(maxAgeMs: number): Promise<void> {
    const places = this.#options.places()
    const names = new Set(places.map(({ name }) => name))
    for (const name of this.#states.keys()) if (!names.has(name)) this.#states.delete(name)
    await Promise.all(places.map((place) => this.#refresh(place, maxAgeMs)))
  }

  /** What is known of each place, from memory. */
  states(): PlaceState[] {
    const order = this.#options.places().map(({ name }) => name)
    return order.flatMap((name) => this.#states.get(name) ?? [])
  }

  /** Every image of the places that were seen: without what jobs work on and what VMs write to, as far as that is known. */
  images(): LibraryImage[] {
    const { busyPaths, diskPaths, folders } = this.#options
    const [busy, disks] = [busyPaths(), diskPaths()]
    return this.states()
      .flatMap(({ images = [] }) => images)
      .filter(({ path, volume }) => !busy.has(path) && disks?.has(volume?.place ?? path) !== true)
      .map((image) => ({ ...image, folder: folders.of(image) }))
  }

  /** True when VMs can be asked: until then a disk image that the agent did not put there may as well be the disk of one. */
  get knowsDisks(): boolean {
    return this.#options.diskPaths() !== undefined
  }

  /** Calls `listener` after every look that saw something else than the one before; returns how to stop that. */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener)
    return () => this.#listeners.delete(listener)
  }

  /** Tells the listeners of a change that no look would see. */
  changed(): void {
    for (const listener of this.#listeners) listener()
  }

  /** Looks every `everyMs` from now on, and soon after `hint` was called. */
  start(everyMs: number): void {
    this.#every = setInterval(() => void this.refresh(everyMs / 2), everyMs)
    this.#every.unref()
    void this.refresh(0)
  }

  /** Something has changed that a look will see. */
  hint(): void {
    if (this.#soon !== undefined || this.#stopping.signal.aborted) return
    this.#soon = setTimeout(() => {
      this.#soon = undefined
      void this.refresh(0)
    }, HINT_DELAY_MS)
    this.#soon.unref()
  }

  /** Ends what is under way. */
  stop(): void {
    clearInterval(this.#every)
    clearTimeout(this.#soon)
    this.#stopping.abort()
    this.#listeners.clear()
  }

  // One look at a time per place; whoever comes meanwhile waits for that one.
  async #refresh(place: ImagePlace, maxAgeMs: number): Promise<void> {
    const under = this.#looks.get(place.name)
    if (under !== undefined) {
      await under
      // It may have passed by what came or went since it began: all who want to know of that share one more.
      if (maxAgeMs === 0) await (this.#looks.get(place.name) ?? this.#begin(place))
      return
    }
    const state = this.#states.get(place.name)
    if (state !== undefined && monotonicMs() - state.lookedAt < maxAgeMs) return
    await this.#begin(place)
  }

  #begin(place: ImagePlace): Promise<void> {
    const look = this.#look(place).finally(() => this.#looks.delete(place.name))
    this.#looks.set(place.name, look)
    return look
  }

  async #look(place: ImagePlace): Promise<void> {
    const before = this.#states.get(place.name)
    const signal = AbortSignal.any([this.#stopping.signal, AbortSignal.timeout(SCAN_TIMEOUT_MS)])
    try {
      const { images, cut } = await place.scan(signal)
      if (cut) this.#options.log.warn({ place: place.name, images: images.length }, 'not every file was looked at')
      const found = images.map((image) => this.#imageOf(image, place))
      this.#states.set(place.name, { place, images: found, error: undefined, cut, lookedAt: monotonicMs() })
      const changed = JSON.stringify(found) !== JSON.stringify(before?.images)
      if (changed) this.changed()
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      const failure = toAgentError(error)
      this.#options.log.debug({ place: place.name, err: failure.message }, 'images cannot be looked for')
      const [images, cut] = [before?.images, before?.cut ?? false]
      this.#states.set(place.name, { place, images, error: failure, cut, lookedAt: monotonicMs() })
    }
  }

  #imageOf(image: ScannedImage, { poolId, root }: ImagePlace): LibraryImage {
    const { path: relativePath, sha256, format, label, url, volume } = image
    const path = join(root, relativePath)
    const fileName = relativePath.slice(relativePath.lastIndexOf('/') + 1)
    const place = { poolId, nodeId: this.#options.nodeId, path: poolId === '' ? path : relativePath }
    const origin = URL.parse(url)?.pathname ?? ''
    const partial = { id: imageId(place), poolId, relativePath }
    return {
      ...partial,
      name: fileName.replace(/\.[^.]+$/, ''),
      fileName,
      path,
      ...(volume === undefined ? {} : { volume }),
      sizeBytes: image.sizeBytes,
      virtualSizeBytes: image.virtualSizeBytes,
      format,
      checksum: sha256 === '' ? '' : `sha256:${sha256}`,
      os: detectOs([fileName, label, origin], format === 'iso'),
      label,
      folder: this.#options.folders.of(partial),
      url,
      modifiedAt: image.modifiedAt,
    }
  }
}
