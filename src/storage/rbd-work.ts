import { randomBytes } from 'node:crypto'
import type { OpContext } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { monotonicMs } from '../platform/clock.ts'
import type { RbdImages } from './rbd-images.ts'
import { MARKER_OBJECT } from './rbd-marker.ts'
import { volumeImage, workPrefix } from './rbd-name.ts'
import type { RbdObjects } from './rbd-objects.ts'
import { readRbdRecord } from './rbd-record.ts'

/** Work that must not be cut in the middle by the caller's signal: each step ends by its own deadline. */
const UNINTERRUPTED = new AbortController().signal
/** Leftovers that somebody has open (a killed tool counts as such for half a minute) are tried again so often. */
const RETRY_MS = 30_000

/**
 * Unfinished work of this agent in one pool, all of it recognisable by its name: images being made or removed, snapshots that clones are made from. What this process
 * does not work on is a leftover, and goes.
 */
export class RbdWork {
  readonly #images: RbdImages
  readonly #objects: RbdObjects
  readonly #nodeId: string
  readonly #current = new Set<string>()
  // Images of this process that no name was ever asked for: there is nothing to read of them, which a full pool does not let anybody do.
  readonly #nameless = new Set<string>()
  #dueAt: number | undefined
  // Whether something of ours waits in the trash for its clones to go.
  #trashUsed = true

  constructor(images: RbdImages, objects: RbdObjects, nodeId: string) {
    this.#images = images
    this.#objects = objects
    this.#nodeId = nodeId
  }

  /** Name for an image that is going to be made. */
  begin(): string {
    const image = `${workPrefix('tmp', this.#nodeId)}${random()}`
    this.#current.add(image)
    this.#nameless.add(image)
    return image
  }

  /** The work on it is over: what is still under that name is removed. */
  async end(image: string, ctx: OpContext): Promise<void> {
    await this.removeLater(image, ctx)
    this.#current.delete(image)
  }

  /** It is about to get its name. */
  naming(image: string): void {
    this.#nameless.delete(image)
  }

  /** It has become a volume: nothing is left under that name. */
  finished(image: string): void {
    this.#current.delete(image)
  }

  /** Removes an image; what fails is logged and tried again later, because the caller needs to hear of other things. */
  async removeLater(image: string, ctx: OpContext): Promise<void> {
    try {
      const outcome = await this.#images.remove(image, UNINTERRUPTED)
      if (outcome === 'busy') this.#retryLater()
      else this.#nameless.delete(image)
      if (outcome === 'in-trash') this.#trashUsed = true
      if (this.#trashUsed) await this.#emptyTrash()
    } catch (error) {
      this.#retryLater()
      ctx.log.warn({ image, err: errorText(error) }, 'an image could not be removed yet')
    }
  }

  /** Runs `use` with a snapshot of `image` that is there only for that time. */
  async withSnapshot(image: string, use: (snapshot: string) => Promise<void>, { signal }: OpContext): Promise<void> {
    const snapshot = `${workPrefix('clone', this.#nodeId)}${random()}`
    const note = `${snapshot}@${image}`
    this.#current.add(snapshot)
    try {
      await this.#objects.addNote(MARKER_OBJECT, note, signal)
      await this.#images.createSnapshot(image, snapshot, UNINTERRUPTED)
      await use(snapshot)
    } finally {
      await this.#images.removeSnapshot(image, snapshot, UNINTERRUPTED)
      await this.#objects.removeNote(MARKER_OBJECT, note, UNINTERRUPTED)
      this.#current.delete(snapshot)
    }
  }

  /** Removes all leftovers. */
  async sweep(ctx: OpContext): Promise<void> {
    this.#dueAt = undefined
    try {
      const prefixes = (['tmp', 'gone'] as const).map((kind) => workPrefix(kind, this.#nodeId))
      for (const image of await this.#images.names(ctx.signal)) {
        if (this.#current.has(image) || !prefixes.some((prefix) => image.startsWith(prefix))) continue
        if (!this.#nameless.has(image)) await this.#freeName(image, ctx.signal)
        if ((await this.#images.remove(image, ctx.signal)) === 'busy') this.#retryLater()
        else this.#nameless.delete(image)
      }
      for (const note of await this.#objects.notes(MARKER_OBJECT, ctx.signal)) await this.#settleNote(note, ctx.signal)
      await this.#emptyTrash()
    } catch (error) {
      ctx.signal.throwIfAborted()
      this.#retryLater()
      ctx.log.warn({ err: errorText(error) }, 'leftovers in a Ceph pool could not be removed yet')
    }
  }

  /** `sweep` when something was left and it is time to try again. */
  async sweepIfDue(ctx: OpContext): Promise<void> {
    if (this.#dueAt !== undefined && monotonicMs() >= this.#dueAt) await this.sweep(ctx)
  }

  #retryLater(): void {
    this.#dueAt = monotonicMs() + RETRY_MS
  }

  async #settleNote(note: string, signal: AbortSignal): Promise<void> {
    const at = note.indexOf('@')
    const snapshot = note.slice(0, at)
    if (this.#current.has(snapshot) || !snapshot.startsWith(workPrefix('clone', this.#nodeId))) return
    await this.#images.removeSnapshot(note.slice(at + 1), snapshot, signal)
    await this.#objects.removeNote(MARKER_OBJECT, note, signal)
  }

  // A rename that was killed leaves the id of the image under both names. Nobody could ever use the other name again.
  async #freeName(image: string, signal: AbortSignal): Promise<void> {
    const record = await readRbdRecord(this.#images, image, signal)
    if (record === undefined) return
    const idObject = `rbd_id.${volumeImage(record.spec.name)}`
    const id = (await this.#images.info(image, signal))?.id
    const other = await this.#objects.read(idObject, signal)
    // The content is a length in four bytes, then the id.
    if (id !== undefined && other?.slice(4) === id) await this.#objects.remove(idObject, signal)
  }

  async #emptyTrash(): Promise<void> {
    const wanted = (name: string) => name.startsWith(workPrefix('gone', this.#nodeId))
    this.#trashUsed = (await this.#images.emptyTrash(wanted, UNINTERRUPTED)) > 0
  }
}

function random(): string {
  return randomBytes(4).toString('hex')
}
