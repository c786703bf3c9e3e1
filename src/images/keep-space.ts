import { formatBytes, GIB } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import { fileSystemSpace } from '../storage/worker/file-system-space.ts'

/** What work of unknown size leaves free, at most this and this share of the file system. */
const KEPT_FREE_BYTES = GIB
const KEPT_FREE_SHARE = 0.05

/**
 * Throws POOL_FULL when the file system of `directory` has no more than what guests need to go on: for work that writes more than could be promised to it. `why` completes "only 1 GiB are left, and …".
 */
export async function keepSpace(directory: string, why: string): Promise<void> {
  const { availableBytes, totalBytes } = await fileSystemSpace(directory)
  const keptBytes = Math.round(Math.min(KEPT_FREE_BYTES, totalBytes * KEPT_FREE_SHARE))
  if (availableBytes >= keptBytes) return
  const text = `only ${formatBytes(availableBytes)} are left, and ${why}; free or add space`
  throw new AgentError('POOL_FULL', text, { details: { keptBytes: String(keptBytes) } })
}
