import { z } from 'zod'
import type { Logger } from '../core/context.ts'
import { errorText, isAgentError, toAgentError } from '../core/errors.ts'
import type { LibraryImage } from '../core/model.ts'
import { connectCode, retryAfterMs, type ConnectClient } from '../platform/connect-client.ts'
import type { StateCollection } from '../platform/state-store.ts'
import { backoffMs } from './backoff.ts'
import { imageNotice, isListedByControlPlane, scannedImage, type ImageNotice } from './image-messages.ts'
import { Alarm, type Pace } from './pace.ts'

/** An image that may be told of. */
export interface TellableImage extends LibraryImage {
  /** Name of the place it is in. */
  readonly place: string
  /** Other hosts have the same file, and would tell of it as well. */
  readonly shared: boolean
}

/** The images of this host. */
export interface ImageSource {
  /** Those that are complete, known for what they are, and not about to be told by the control plane itself. */
  list(): readonly TellableImage[]
  /** True when the place was seen and has no such file: not seen is not gone. */
  isGone(place: string, path: string): boolean
  onChange(listener: () => void): () => void
}

/** What the control plane was told of the images of this host, so that deletions are told after a restart too. */
export interface ToldImages {
  readonly controlPlane: string
  readonly nodeId: string
  readonly images: readonly ToldImage[]
}

interface ToldImage {
  readonly place: string
  /** Absolute. */
  readonly path: string
  readonly notice: ImageNotice
}

export interface ImageSyncOptions {
  readonly client: ConnectClient
  readonly images: ImageSource
  readonly store: StateCollection<ToldImages>
  readonly pace: Pace
  readonly log: Logger
}

const SCAN_LOCAL_IMAGES = 'limiquantix.storage.v1.ImageService/ScanLocalImages'
const NOTIFY = 'api/v1/images/notify'
const STORE_KEY = 'images'
const TIMEOUT_MS = 15_000
/** Longer than the period at which a control plane asks after its downloads: it knows the path of a finished one by then. */
const SETTLE_MS = 5_000
/** What is held back now may be told later without any change. */
const LOOK_EVERY_MS = 60_000
const BATCH = 200

const scanAnswer = z.object({
  registeredCount: z.coerce.number().default(0),
  existingCount: z.coerce.number().default(0),
  errors: z.array(z.string()).default([]),
})
const notifyAnswer = z.object({ success: z.boolean().optional() })

/**
 * Tells the control plane of images on this host: disk images by ScanLocalImages, which keeps what it knows of a path; ISOs by notifications, which replace it, and so must not be sent for images
 * that it downloaded itself; deletions by notifications. All after each registration, later what changed. A method that the control plane does not have is left alone until the next registration.
 */
export class ImageSync {
  readonly #options: ImageSyncOptions
  readonly #alarm = new Alarm()
  readonly #stopping = new AbortController()
  readonly #unsubscribe: () => void
  readonly #running: Promise<void>
  /** Told in this registration: path to digest of what was told. */
  readonly #current = new Map<string, string>()
  readonly #missingMethods = new Set<string>()
  #told: ToldImages | undefined
  #nodeId: string | undefined

  constructor(options: ImageSyncOptions) {
    this.#options = options
    this.#unsubscribe = options.images.onChange(() => this.#alarm.ring())
    this.#running = this.#run().catch(() => undefined)
  }

  /** The control plane knows this host (again), by this id. */
  registered(nodeId: string): void {
    this.#nodeId = nodeId
    this.#missingMethods.clear()
    this.again()
  }

  /** Tells of everything again; returns how many images that are, 0 while not registered. */
  again(): number {
    this.#current.clear()
    this.#alarm.ring()
    return this.#nodeId === undefined ? 0 : this.#options.images.list().length
  }

  async stop(): Promise<void> {
    this.#unsubscribe()
    this.#stopping.abort()
    await this.#running
  }

  // Ends when it is stopped, and only then.
  async #run(): Promise<never> {
    const { pace, log } = this.#options
    const { signal } = this.#stopping
    let failures = 0
    let due = Number.POSITIVE_INFINITY
    for (;;) {
      await this.#alarm.sleepUntil(due, pace, signal)
      await pace.delay(SETTLE_MS, signal)
      try {
        await this.#sync(signal)
        failures = 0
        due = pace.now() + LOOK_EVERY_MS
      } catch (error) {
        signal.throwIfAborted()
        failures++
        due = pace.now() + backoffMs(failures, pace.random(), retryAfterMs(toAgentError(error)))
        log.warn({ err: errorText(error), failures }, 'the control plane could not be told of images')
      }
    }
  }

  async #sync(signal: AbortSignal): Promise<void> {
    const nodeId = this.#nodeId
    if (nodeId === undefined) return
    this.#told ??= await this.#load(nodeId)
    if (this.#told.nodeId !== nodeId) this.#told = { ...this.#told, nodeId, images: [] }
    const all = this.#options.images.list()
    await this.#tellDisks(
      nodeId,
      all.filter((image) => image.format !== 'iso' && !image.shared),
      signal,
    )
    await this.#tellIsos(nodeId, withoutTwins(all.filter(({ format }) => format === 'iso')), signal)
    await this.#tellDeleted(nodeId, signal)
  }

  async #tellDisks(nodeId: string, images: readonly TellableImage[], signal: AbortSignal): Promise<void> {
    const fresh = images.filter(({ path }) => !this.#current.has(path))
    for (let start = 0; start < fresh.length; start += BATCH) {
      const batch = fresh.slice(start, start + BATCH)
      const request = { nodeId, images: batch.map(scannedImage) }
      const answer = await this.#call(SCAN_LOCAL_IMAGES, request, scanAnswer, signal)
      if (answer === 'missing') return
      await this.#remember(nodeId, batch)
      if (answer === 'refused') continue
      this.#options.log.info({ told: batch.length, ...answer }, 'told the control plane of images')
    }
  }

  async #tellIsos(nodeId: string, images: readonly TellableImage[], signal: AbortSignal): Promise<void> {
    for (const image of images) {
      const digest = JSON.stringify(imageNotice(image))
      const before = this.#current.get(image.path)
      if (before === digest) continue
      const event = before === undefined ? 'created' : 'updated'
      if (!(await this.#notify(nodeId, event, imageNotice(image), signal))) return
      await this.#remember(nodeId, [image])
    }
  }

  async #tellDeleted(nodeId: string, signal: AbortSignal): Promise<void> {
    const gone = (this.#told?.images ?? []).filter(({ place, path }) => this.#options.images.isGone(place, path))
    for (const { path, notice } of gone) {
      if (!(await this.#notify(nodeId, 'deleted', notice, signal))) return
      this.#current.delete(path)
      await this.#save(
        nodeId,
        (this.#told?.images ?? []).filter((one) => one.path !== path),
      )
    }
  }

  // False when there is no use in sending more of these now.
  async #notify(
    nodeId: string,
    event: 'created' | 'updated' | 'deleted',
    notice: ImageNotice,
    signal: AbortSignal,
  ): Promise<boolean> {
    const timestamp = Math.floor(Date.now() / 1000)
    const body = { node_id: nodeId, event_type: event, ...notice, timestamp }
    const answer = await this.#call(NOTIFY, body, notifyAnswer, signal)
    if (typeof answer !== 'string') this.#options.log.info({ event, path: notice.path }, 'told the control plane')
    return answer !== 'missing'
  }

  // `missing`: it does not have the method, or this node. `refused`: it does not take this request, and would not the next time.
  async #call<T extends object>(
    method: string,
    request: object,
    answer: z.ZodType<T>,
    signal: AbortSignal,
  ): Promise<T | 'missing' | 'refused'> {
    if (this.#missingMethods.has(method)) return 'missing'
    try {
      return await this.#options.client.call(method, request, answer, { signal, timeoutMs: TIMEOUT_MS })
    } catch (error) {
      signal.throwIfAborted()
      if (isAgentError(error, 'CONTROL_PLANE_UNAVAILABLE')) throw error
      const missing = ['unimplemented', 'not_found'].includes(connectCode(error)) || httpStatus(error) === '501'
      if (missing) this.#missingMethods.add(method)
      this.#options.log.warn(
        { method, err: errorText(error) },
        missing
          ? 'the control plane takes no word of images this way; left alone until the next registration'
          : 'the control plane refused the word of an image',
      )
      return missing ? 'missing' : 'refused'
    }
  }

  async #remember(nodeId: string, images: readonly TellableImage[]): Promise<void> {
    // Another registration came meanwhile: it has heard of nothing.
    if (this.#nodeId !== nodeId) return
    const told = images.map((image) => ({ place: image.place, path: image.path, notice: imageNotice(image) }))
    for (const { path, notice } of told) this.#current.set(path, JSON.stringify(notice))
    const paths = new Set(told.map(({ path }) => path))
    const others = (this.#told?.images ?? []).filter(({ path }) => !paths.has(path))
    await this.#save(nodeId, [...others, ...told])
  }

  async #save(nodeId: string, images: readonly ToldImage[]): Promise<void> {
    this.#told = { controlPlane: this.#options.client.baseUrl, nodeId, images }
    await this.#options.store.put(STORE_KEY, this.#told)
  }

  async #load(nodeId: string): Promise<ToldImages> {
    const controlPlane = this.#options.client.baseUrl
    const kept = await this.#options.store.get(STORE_KEY)
    const ours = kept?.controlPlane === controlPlane && kept.nodeId === nodeId
    return { controlPlane, nodeId, images: ours ? kept.images : [] }
  }
}

// A server in front of the control plane says it without the words of Connect.
function httpStatus(error: unknown): string {
  return isAgentError(error) ? (error.details.httpStatus ?? '') : ''
}

// Control planes key by node and path, and the path of a pool's ISO does not name its pool: of two with one path, each would replace the other.
function withoutTwins(isos: readonly TellableImage[]): TellableImage[] {
  const count = new Map<string, number>()
  const listed = isos.filter(isListedByControlPlane)
  for (const { relativePath } of listed) count.set(relativePath, (count.get(relativePath) ?? 0) + 1)
  return isos.filter((image) => !isListedByControlPlane(image) || count.get(image.relativePath) === 1)
}
