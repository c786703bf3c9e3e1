import type { WorkerCall, WorkerHandlers } from '../platform/workers.ts'
import { readImageHeader, type ImageHeader } from './image-header.ts'
import { compareWithManifest } from './recheck.ts'

interface Judged {
  readonly path: string
  readonly header: ImageHeader
}

/**
 * The worker's half of ImageInspector; part of the `transfer` and the `storage` worker. It starts `qemu-img` too: while the disk is busy, starting a program takes a process up to half a
 * second, in which it does nothing else. What that needs is loaded at the first use.
 */
export const inspectHandlers: WorkerHandlers = {
  'image.header': async ({ path }: { path: string }) => readImageHeader(path),
  'image.recheck': async ({ path }: { path: string }) => compareWithManifest(path),
  'image.agree': async ({ path, header }: Judged, { signal }: WorkerCall) =>
    (await import('./qemu-verdict.ts')).agreeWithQemu(path, header, signal),
  'image.check': async ({ path, header }: Judged, { signal }: WorkerCall) =>
    (await import('./qemu-verdict.ts')).checkWithQemu(path, header, signal),
}
