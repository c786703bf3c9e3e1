import { serveWorker, type WorkerHandlers } from '../platform/workers.ts'

/** Worker kinds and where their handlers live; loaded only in the process that needs them. */
const KINDS: Readonly<Record<string, () => Promise<WorkerHandlers>>> = {
  storage: async () => (await import('../storage/storage-worker.ts')).storageHandlers,
  transfer: async () => (await import('../images/transfer-worker.ts')).transferHandlers,
}

/** Runs this process as a worker of `kind` until its parent goes away. */
export async function startWorker(kind: string): Promise<void> {
  const load = KINDS[kind]
  if (load === undefined) throw new Error(`unknown worker kind ${JSON.stringify(kind)}`)
  serveWorker(await load())
}
