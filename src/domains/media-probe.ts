import { realpath, stat } from 'node:fs/promises'
import type { OpContext } from '../core/context.ts'
import { isInside } from '../platform/files.ts'
import type { WorkerHandlers, WorkerProcess } from '../platform/workers.ts'

/** What is at a path: nothing, a regular file, a block device, something else, or something that symbolic links lead to outside of the allowed root. */
export type MediaKind = 'missing' | 'file' | 'device' | 'other' | 'outside'

interface MediaParams {
  readonly path: string
  readonly root: string
}

/** The worker's half of MediaProbe; part of the `storage` worker. */
export const mediaHandlers: WorkerHandlers = {
  'media.kind': async ({ path, root }: MediaParams): Promise<MediaKind> => {
    try {
      // Whoever can write to a shared pool can put a link there: to a file of the host that no guest may see.
      if (!isInside(await realpath(root), await realpath(path))) return 'outside'
      const stats = await stat(path)
      return stats.isFile() ? 'file' : stats.isBlockDevice() ? 'device' : 'other'
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'ENOENT' || code === 'ENOTDIR') return 'missing'
      throw error
    }
  },
}

const TIMEOUT_MS = 10_000

/** Looks at paths that may be on a pool, in a worker process. */
export class MediaProbe {
  readonly #worker: WorkerProcess

  constructor(worker: WorkerProcess) {
    this.#worker = worker
  }

  /** What is at `path`, which has to stay below `root` when links are followed. Errors: DEADLINE_EXCEEDED when the storage does not answer, WORKER_*. */
  async kind(path: string, root: string, ctx: OpContext): Promise<MediaKind> {
    const params: MediaParams = { path, root }
    const options = { signal: ctx.signal, timeoutMs: TIMEOUT_MS, repeatable: true }
    return this.#worker.call<MediaKind>('media.kind', params, options)
  }
}
