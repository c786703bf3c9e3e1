import { flushCompileCache } from 'node:module'
import { serveWorker, type WorkerHandlers } from '../platform/workers.ts'

/** Worker kinds and their handlers; loaded only in the process that needs them. */
const KINDS: Readonly<Record<string, () => Promise<WorkerHandlers>>> = {
  storage: async () => {
    const [{ storageHandlers }, { inspectHandlers }, { mediaHandlers }, json, proto] = await Promise.all([
      import('../storage/storage-worker.ts'),
      import('../images/inspect-handlers.ts'),
      import('../domains/media-probe.ts'),
      import('../http/pool-file-text.ts'),
      import('../grpc/pool-file-records.ts'),
    ])
    const encoders = { json: json.encodeFilesAsJson, proto: proto.encodeFilesAsRecords }
    return { ...storageHandlers(encoders), ...inspectHandlers, ...mediaHandlers }
  },
  transfer: async () => (await import('../images/transfer-worker.ts')).transferHandlers,
}

/** Runs this process as a worker of `kind` until its parent goes away. */
export async function startWorker(kind: string): Promise<void> {
  const load = KINDS[kind]
  if (load === undefined) throw new Error(`unknown worker kind ${JSON.stringify(kind)}`)
  serveWorker(await load())
  // Workers end by SIGKILL, so the cache would never be written at their exit.
  setImmediate(flushCompileCache)
}
