import type { OperationManager } from '../../operations/manager.ts'
import type { LibraryImage } from '../../core/model.ts'
import { monotonicMs } from '../../platform/clock.ts'
import type { ImageLibrary } from './image-library.ts'

/** A file that changed so recently may still be written by whoever copies it there. */
const SETTLED_AFTER_MS = 30_000
/** How long a finished download is left to the control plane that asked for it, unless it has heard of the end. */
const HELD_MS = 10 * 60_000
/** Who was told of the end has to write the path down. Less than a control plane's sync waits after a change (SETTLE_MS there), so that the one that `heard` brings about finds the image. */
const NOTED_MS = 3_000

/**
 * The images that a control plane may be told of. Left out: what is still changing; disk images while nobody knows the disks of VMs; and downloads whose end the one who asked for
 * them has not heard of, because until then a control plane does not know the path and would keep a second record of the same file.
 */
export class TellableImages {
  readonly #library: ImageLibrary
  readonly #operations: Pick<OperationManager, 'list'>
  /** By job; monotonic. */
  readonly #heardAt = new Map<string, number>()
  /** By job; monotonic. */
  readonly #heldUntil = new Map<string, number>()

  constructor(library: ImageLibrary, operations: Pick<OperationManager, 'list'>) {
    this.#library = library
    this.#operations = operations
  }

  /** Somebody asked after job `jobId` and was told that it has ended. */
  heard(jobId: string): void {
    if (this.#heardAt.has(jobId)) return
    this.#heardAt.set(jobId, monotonicMs())
    this.#library.changed()
  }

  /** Those of now, with the place each is in. */
  list(): (LibraryImage & { place: string; shared: boolean })[] {
    const held = this.#held()
    const present = new Map(this.#library.images().map((image) => [image.id, image]))
    return this.#library.states().flatMap(({ place, images = [] }) => {
      return images.flatMap(({ id }) => {
        const image = present.get(id)
        if (image === undefined || held.has(image.path) || !this.#isCertain(image)) return []
        return [{ ...image, place: place.name, shared: place.shared }]
      })
    })
  }

  /** True when the place was seen as a whole and has no such file. */
  isGone(placeName: string, path: string): boolean {
    const state = this.#library.states().find(({ place }) => place.name === placeName)
    if (state?.images === undefined || state.error !== undefined || state.cut) return false
    return !state.images.some((image) => image.path === path)
  }

  onChange(listener: () => void): () => void {
    return this.#library.onChange(listener)
  }

  #isCertain({ checksum, format, modifiedAt }: LibraryImage): boolean {
    // The agent gives nothing a name before it is complete.
    if (checksum !== '') return true
    const age = Date.now() - modifiedAt
    // A clock that is ahead, here or on a server, must not hide an image for ever.
    const settled = age > SETTLED_AFTER_MS || age < -SETTLED_AFTER_MS
    return settled && (format === 'iso' || this.#library.knowsDisks)
  }

  #held(): Set<string> {
    const downloads = this.#operations.list().filter(({ state }) => state === 'completed')
    const known = new Set(downloads.map(({ id }) => id))
    for (const id of this.#heldUntil.keys()) if (!known.has(id)) this.#heldUntil.delete(id)
    const recent = downloads.filter(({ id, finishedAt = 0 }) => this.#isHeld(id, finishedAt))
    return new Set(recent.flatMap(({ locks }) => locks).flatMap((lock) => /^image:(.*)$/.exec(lock)?.[1] ?? []))
  }

  // The wall clock is asked once: what happens to it later neither ends nor prolongs the wait.
  #isHeld(jobId: string, finishedAt: number): boolean {
    const nowMs = monotonicMs()
    const heardAt = this.#heardAt.get(jobId)
    if (heardAt !== undefined) return nowMs < heardAt + NOTED_MS
    const until = this.#heldUntil.get(jobId) ?? nowMs + HELD_MS - Math.abs(Date.now() - finishedAt)
    this.#heldUntil.set(jobId, until)
    return nowMs < until
  }
}
