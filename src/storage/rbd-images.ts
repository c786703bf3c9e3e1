import { z } from 'zod'
import type { CephCommand, CephTools } from './ceph-tools.ts'
import { imageSpec, placeText, type RbdPlace } from './rbd-name.ts'

const ENOENT = 2
const EBUSY = 16
const EEXIST = 17
const ENOTEMPTY = 39
/** Removing an image deletes its objects one by one. */
const REMOVE_TIMEOUT_MS = 10 * 60_000

/** What `rbd info` says; sizes in bytes. */
export interface RbdImageInfo {
  readonly id: string
  readonly sizeBytes: number
  /** Names of its features: `exclusive-lock`. */
  readonly features: readonly string[]
}

/** Who has an image open for writing. */
export interface RbdWatcher {
  /** Network address. */
  readonly address: string
  /** Number of the client in the cluster; no two have the same. */
  readonly client: number
}

/** A snapshot as `rbd snap ls` has it. */
export interface RbdSnapshot {
  readonly id: number
  readonly name: string
  readonly sizeBytes: number
  /** ms since the epoch. */
  readonly createdAt: number
}

const namesSchema = z.array(z.string())
const infoSchema = z.object({
  id: z.string(),
  size: z.number().nonnegative(),
  features: z.array(z.string()).default([]),
})
const rowsSchema = z.array(
  z.object({ image: z.string(), snapshot: z.string().optional(), id: z.string(), size: z.number().nonnegative() }),
)
const usageSchema = z.object({ images: z.array(z.object({ used_size: z.number().nonnegative() })) })
const snapshotsSchema = z.array(z.object({ id: z.number(), name: z.string(), size: z.number(), timestamp: z.string() }))
const statusSchema = z.object({ watchers: z.array(z.object({ address: z.string(), client: z.number() })) })
const trashSchema = z.array(z.object({ id: z.string(), name: z.string() }))

/** The images of one pool or namespace, by rbd(8): one command each, nothing kept. Errors: those of CephTools.run; what is missing is undefined or false. */
export class RbdImages {
  readonly #tools: CephTools
  readonly #place: RbdPlace

  constructor(tools: CephTools, place: RbdPlace) {
    this.#tools = tools
    this.#place = place
  }

  /** Names of all images. COMMAND_FAILED with exit code 2 when pool or namespace are missing. */
  async names(signal: AbortSignal, timeoutMs?: number): Promise<string[]> {
    const limit = timeoutMs === undefined ? {} : { timeoutMs }
    return namesSchema.parse(await this.#json(['ls', placeText(this.#place)], signal, limit))
  }

  /** All images with their sizes, by name. */
  async all(signal: AbortSignal): Promise<Map<string, Pick<RbdImageInfo, 'id' | 'sizeBytes'>>> {
    const rows = rowsSchema.parse(await this.#json(['ls', '--long', placeText(this.#place)], signal))
    const images = rows.filter(({ snapshot }) => snapshot === undefined)
    return new Map(images.map(({ image, id, size }) => [image, { id, sizeBytes: size }]))
  }

  async info(image: string, signal: AbortSignal): Promise<RbdImageInfo | undefined> {
    const found = await this.#json(['info', this.#spec(image)], signal, { okCodes: [ENOENT] })
    if (found === undefined) return undefined
    const { id, size, features } = infoSchema.parse(found)
    return { id, sizeBytes: size, features }
  }

  /** Bytes that the image and its snapshots occupy, without what they share with the source of a clone. */
  async usedBytes(image: string, signal: AbortSignal): Promise<number> {
    const found = await this.#json(['du', this.#spec(image)], signal, { okCodes: [ENOENT] })
    if (found === undefined) return 0
    return usageSchema.parse(found).images.reduce((sum, { used_size }) => sum + used_size, 0)
  }

  async metadata(image: string, key: string, signal: AbortSignal): Promise<string | undefined> {
    const { exitCode, stdout } = await this.#rbd(['image-meta', 'get', this.#spec(image), key], signal, {
      okCodes: [ENOENT],
    })
    return exitCode === 0 ? stdout.trimEnd() : undefined
  }

  async setMetadata(image: string, key: string, value: string, signal: AbortSignal): Promise<void> {
    await this.#rbd(['image-meta', 'set', this.#spec(image), key, value], signal)
  }

  /** COMMAND_FAILED with exit code 17 when the name is taken. */
  async create(image: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
    await this.#rbd(['create', '--size', `${sizeBytes}B`, this.#spec(image)], signal)
  }

  async clone(parent: string, snapshot: string, image: string, signal: AbortSignal): Promise<void> {
    await this.#rbd(['clone', `${this.#spec(parent)}@${snapshot}`, this.#spec(image)], signal)
  }

  async resize(image: string, sizeBytes: number, signal: AbortSignal): Promise<void> {
    await this.#rbd(['resize', '--no-progress', '--size', `${sizeBytes}B`, this.#spec(image)], signal)
  }

  /** False when an image has the new name. */
  async rename(image: string, name: string, signal: AbortSignal): Promise<boolean> {
    const words = ['rename', this.#spec(image), this.#spec(name)]
    return (await this.#rbd(words, signal, { okCodes: [EEXIST] })).exitCode === 0
  }

  /** Those who have the image open for writing; none for one that is missing. */
  async watchers(image: string, signal: AbortSignal): Promise<RbdWatcher[]> {
    const found = await this.#json(['status', this.#spec(image)], signal, { okCodes: [ENOENT] })
    return found === undefined ? [] : statusSchema.parse(found).watchers
  }

  /** Removes an image with its snapshots; into the trash of the pool while clones need it. `busy`: somebody has it open. */
  async remove(image: string, signal: AbortSignal): Promise<'removed' | 'in-trash' | 'busy'> {
    const options = { timeoutMs: REMOVE_TIMEOUT_MS, okCodes: [ENOENT, EBUSY, ENOTEMPTY] }
    const remove = async () => (await this.#rbd(['rm', '--no-progress', this.#spec(image)], signal, options)).exitCode
    let exitCode = await remove()
    if (exitCode === ENOTEMPTY) {
      await this.#rbd(['snap', 'purge', '--no-progress', this.#spec(image)], signal, options)
      exitCode = await remove()
    }
    if (exitCode === EBUSY) return 'busy'
    if (exitCode !== ENOTEMPTY) return 'removed'
    const moved = await this.#rbd(['trash', 'mv', this.#spec(image)], signal, { okCodes: [ENOENT, EBUSY] })
    return moved.exitCode === EBUSY ? 'busy' : 'in-trash'
  }

  /** Removes images of the trash whose names pass, except those that clones still need; answers how many are left. */
  async emptyTrash(wanted: (name: string) => boolean, signal: AbortSignal): Promise<number> {
    const found = trashSchema.parse(await this.#json(['trash', 'ls', placeText(this.#place)], signal))
    let left = 0
    for (const { id, name } of found) {
      if (!wanted(name)) continue
      const { exitCode } = await this.#rbd(['trash', 'rm', '--no-progress', this.#spec(id)], signal, {
        timeoutMs: REMOVE_TIMEOUT_MS,
        okCodes: [ENOENT, EBUSY, ENOTEMPTY],
      })
      if (exitCode !== 0 && exitCode !== ENOENT) left++
    }
    return left
  }

  /** The same name again changes nothing. */
  async createSnapshot(image: string, snapshot: string, signal: AbortSignal): Promise<void> {
    const words = ['snap', 'create', '--no-progress', `${this.#spec(image)}@${snapshot}`]
    await this.#rbd(words, signal, { okCodes: [EEXIST] })
  }

  /** Success when it is gone. Clones of it live on: the cluster keeps what they need. */
  async removeSnapshot(image: string, snapshot: string, signal: AbortSignal): Promise<void> {
    const words = ['snap', 'rm', '--no-progress', `${this.#spec(image)}@${snapshot}`]
    await this.#rbd(words, signal, { okCodes: [ENOENT] })
  }

  /** Oldest first. */
  async snapshots(image: string, signal: AbortSignal): Promise<RbdSnapshot[]> {
    const found = snapshotsSchema.parse(await this.#json(['snap', 'ls', this.#spec(image)], signal))
    return found
      .sort((a, b) => a.id - b.id)
      .map(({ id, name, size, timestamp }) => ({
        id,
        name,
        sizeBytes: size,
        createdAt: Date.parse(`${timestamp} UTC`),
      }))
  }

  #spec(image: string): string {
    return imageSpec(this.#place, image)
  }

  #rbd(args: readonly string[], signal: AbortSignal, options: Pick<CephCommand, 'okCodes' | 'timeoutMs'> = {}) {
    return this.#tools.run({ tool: 'rbd', args, ...options }, signal)
  }

  // Undefined after an exit code that stands for "missing".
  async #json(
    args: readonly string[],
    signal: AbortSignal,
    options: Pick<CephCommand, 'okCodes' | 'timeoutMs'> = {},
  ): Promise<unknown> {
    const { exitCode, stdout } = await this.#rbd([...args, '--format', 'json'], signal, options)
    return exitCode === 0 ? JSON.parse(stdout) : undefined
  }
}
