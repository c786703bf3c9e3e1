import type { WorkerHandlers } from '../platform/workers.ts'
import { readImageHeader } from './image-header.ts'

/** The worker's half of ImageInspector; part of the `transfer` and the `storage` worker, which load nothing else of it. */
export const inspectHandlers: WorkerHandlers = {
  'image.header': async ({ path }: { path: string }) => readImageHeader(path),
}
