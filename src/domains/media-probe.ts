import { stat } from 'node:fs/promises'
import type { OpContext } from '../core/context.ts'
import type { WorkerHandlers, WorkerProcess } from '../platform/workers.ts'

/** What is at a path: nothing, a regular file (or symbolic link to one), a block device, or something else. */
export type MediaKind = 'missing' | 'file' | 'block' | 'other'

/** The worker's half of MediaProbe; part of the `storage` worker. */
export const mediaHandlers: WorkerHandlers = {
  'media.kind': async ({ path }: { path: string }): Promise<MediaKind> => {
    try {
      const facts = await stat(path)
      return facts.isFile() ? 'file' : facts.isBlockDevice() ? 'block' : 'other'
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

  /** Errors: DEADLINE_EXCEEDED when the storage does not answer, WORKER_*. */
  async kind(path: string, ctx: OpContext): Promise<MediaKind> {
    return this.#worker.call<MediaKind>('media.kind', { path }, { signal: ctx.signal, timeoutMs: TIMEOUT_MS })
  }
}
