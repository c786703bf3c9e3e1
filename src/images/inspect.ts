import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { DiskFormat } from '../core/model.ts'
import type { ConfinementKind } from '../platform/confinement.ts'
import type { WorkerProcess } from '../platform/workers.ts'
import type { ImageFormatName } from './formats/format.ts'
import { imageFormat } from './formats/formats.ts'
import { ImageRefusal } from './formats/refusal.ts'
import { imageRefused, type ImageHeader } from './image-header.ts'

/** What is known of an image file that passed the gate: plain (it needs no other file and no key), with headers that `qemu-img` reads the same way. */
export interface JudgedImage {
  readonly format: ImageFormatName
  /** Size of the disk a guest sees. */
  readonly virtualSizeBytes: number
  readonly fileSizeBytes: number
  /** Which kind of the format, for people: `v3, zstd`, `streamOptimized`. */
  readonly variant: string
  /** How `qemu-img` was confined while it read the image. */
  readonly confinement: ConfinementKind
}

/** Likewise, of an image that a VM can use as it is. */
export interface ImageFacts {
  readonly format: DiskFormat
  /** Size of the disk a guest sees. */
  readonly virtualSizeBytes: number
  readonly fileSizeBytes: number
  /** How `qemu-img` was confined, when it was asked for these facts. */
  readonly confinement?: ConfinementKind
}

const HEADER_TIMEOUT_MS = 15_000
// Longer than those of the tools themselves.
const AGREE_TIMEOUT_MS = 60_000
const CHECK_TIMEOUT_MS = 11 * 60_000

/** Judges image files: our own header parsers in a worker process, and `qemu-img` with the format stated, must agree. */
export class ImageInspector {
  readonly #worker: WorkerProcess
  readonly #agreed = new AgreedImages()

  /** `worker` is of a kind that serves `inspectHandlers`; it is killed when a pool hangs, so it should have no precious work; verdicts on other pools are then begun anew. */
  constructor(worker: WorkerProcess) {
    this.#worker = worker
  }

  /**
   * The verdict on the image at absolute `path`, of any known format; `whole`: every entry of its tables is inside the file too, which finds truncated images (reads all metadata, no data). Errors:
   * FILE_NOT_FOUND, IMAGE_NOT_AN_IMAGE and IMAGE_REFUSED with `details.refusal`, POOL_IO_ERROR, COMMAND_MISSING, DEADLINE_EXCEEDED.
   */
  async judge(path: string, depth: 'header' | 'whole', ctx: OpContext): Promise<JudgedImage> {
    const header = await this.#worker.call<ImageHeader>(
      'image.header',
      { path },
      { signal: ctx.signal, timeoutMs: HEADER_TIMEOUT_MS, repeatable: true },
    )
    const ask = <T>(method: string, timeoutMs: number) =>
      this.#worker.call<T>(
        method,
        { path, header },
        { signal: ctx.signal, timeoutMs, onTimeout: 'cancel', repeatable: true },
      )
    const confinement = this.#agreed.get(header) ?? (await ask<ConfinementKind>('image.agree', AGREE_TIMEOUT_MS))
    this.#agreed.set(header, confinement)
    if (depth === 'whole') await ask('image.check', CHECK_TIMEOUT_MS)
    const { format, virtualSizeBytes, fileSizeBytes, variant } = header
    return { format, virtualSizeBytes, fileSizeBytes, variant, confinement }
  }

  /** The facts of an image that a VM can use as it is. Errors: those of `judge`; IMAGE_NOT_AN_IMAGE for formats that would have to be converted. */
  async inspect(path: string, ctx: OpContext): Promise<ImageFacts> {
    return asDisk(path, await this.judge(path, 'header', ctx))
  }

  /** Throws IMAGE_CHANGED when the file at `path` has a manifest of the agent and is another one by size or time; what has none is not known. */
  async recheck(path: string, ctx: OpContext): Promise<void> {
    const options = { signal: ctx.signal, timeoutMs: HEADER_TIMEOUT_MS, repeatable: true }
    const answer = await this.#worker.call<'same' | 'changed' | 'unknown'>('image.recheck', { path }, options)
    if (answer !== 'changed') return
    throw new AgentError(
      'IMAGE_CHANGED',
      `${quote(path)} was changed since it was downloaded and verified; verify it again (POST /api/v1/images/verify), or download it under another name`,
    )
  }

  /** Like `inspect`, and every cluster the tables speak of is inside the file. */
  async inspectWhole(path: string, ctx: OpContext): Promise<ImageFacts> {
    return asDisk(path, await this.judge(path, 'whole', ctx))
  }
}

const MAX_AGREED = 1024

/** Files that `qemu-img` has read like our parser, as they are now: images that many VMs are made of need not be shown to it each time. */
class AgreedImages {
  readonly #confinements = new Map<string, ConfinementKind>()

  get({ identity }: ImageHeader): ConfinementKind | undefined {
    return identity === undefined ? undefined : this.#confinements.get(identity)
  }

  set({ identity }: ImageHeader, confinement: ConfinementKind): void {
    if (identity === undefined) return
    this.#confinements.set(identity, confinement)
    const [oldest] = this.#confinements.keys()
    if (this.#confinements.size > MAX_AGREED && oldest !== undefined) this.#confinements.delete(oldest)
  }
}

function asDisk(path: string, image: JudgedImage): ImageFacts {
  const { format } = image
  if (format === 'qcow2' || format === 'raw') return { ...image, format }
  const { title } = imageFormat(format)
  throw imageRefused(
    path,
    new ImageRefusal('FORMAT_NOT_TAKEN', `is ${title}, which no VM can use as its disk; import or convert it`),
  )
}
