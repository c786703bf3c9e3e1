import type { OpContext } from '../core/context.ts'
import { AgentError, isAgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { DiskFormat } from '../core/model.ts'
import { run } from '../platform/exec.ts'
import type { WorkerProcess } from '../platform/workers.ts'
import { imageInfo } from '../storage/qemu-img.ts'
import type { ImageHeader } from './image-header.ts'

/** What is known of an image that may be used: plain (no backing file, data file or encryption), with a header that `qemu-img` reads the same way. */
export interface ImageFacts {
  readonly format: DiskFormat
  /** Size of the disk a guest sees. */
  readonly virtualSizeBytes: number
  readonly fileSizeBytes: number
}

const HEADER_TIMEOUT_MS = 15_000
const CHECK_TIMEOUT_MS = 10 * 60_000

/** Judges image files: our own header parsers in a worker process, and `qemu-img` with the format stated, must agree. */
export class ImageInspector {
  readonly #worker: WorkerProcess

  /** `worker` is of a kind that serves `inspectHandlers`; it is killed when a pool hangs, so it should have no precious work. */
  constructor(worker: WorkerProcess) {
    this.#worker = worker
  }

  /**
   * The facts of the image at absolute `path`. Errors: FILE_NOT_FOUND, IMAGE_NOT_AN_IMAGE, IMAGE_REFUSED, POOL_IO_ERROR, COMMAND_MISSING, DEADLINE_EXCEEDED.
   */
  async inspect(path: string, ctx: OpContext): Promise<ImageFacts> {
    const header = await this.#worker.call<ImageHeader>(
      'image.header',
      { path },
      { signal: ctx.signal, timeoutMs: HEADER_TIMEOUT_MS },
    )
    await agreeWithQemu(path, header, ctx)
    return header
  }

  /** Like `inspect`, and every cluster the tables speak of is inside the file: finds truncated images. Reads all metadata, no data. */
  async inspectWhole(path: string, ctx: OpContext): Promise<ImageFacts> {
    const facts = await this.inspect(path, ctx)
    if (facts.format === 'qcow2') await checkClusters(path, ctx.signal)
    return facts
  }
}

/** Throws IMAGE_REFUSED unless `qemu-img info`, told the format, sees what our parser saw. */
async function agreeWithQemu(path: string, header: ImageHeader, ctx: OpContext): Promise<void> {
  const info = await imageInfo(path, header.format, ctx).catch((error: unknown) => refuse(path, 'info', error))
  const plain = info.backingFile === undefined && info.dataFile === undefined && !info.encrypted
  if (info.format !== header.format || info.virtualSizeBytes !== header.virtualSizeBytes || !plain) {
    throw new AgentError('IMAGE_REFUSED', `image ${quote(path)}: qemu-img and the agent read its header differently`)
  }
}

async function checkClusters(path: string, signal: AbortSignal): Promise<void> {
  const args = ['check', '-U', '-q', '-f', 'qcow2', path]
  // 3 = leaked clusters only: wasted space, nothing is wrong with the content.
  const check = { file: 'qemu-img', args, package: 'qemu-utils', timeoutMs: CHECK_TIMEOUT_MS, okCodes: [3] }
  await run(check, signal).catch((error: unknown) => refuse(path, 'check', error))
}

function refuse(path: string, command: string, error: unknown): never {
  if (!isAgentError(error, 'COMMAND_FAILED', 'IMAGE_NOT_AN_IMAGE')) throw error
  throw new AgentError('IMAGE_REFUSED', `image ${quote(path)} is refused by qemu-img ${command}: ${error.message}`, {
    cause: error,
  })
}
