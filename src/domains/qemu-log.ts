import { constants } from 'node:fs'
import { open } from 'node:fs/promises'
import path from 'node:path'
import { AgentError, errorText } from '../core/errors.ts'
import type { LogTail } from '../core/model.ts'

/** How much of the end of a log is looked at. */
const MAX_BYTES = 1024 * 1024

/**
 * The last `lines` lines of QEMU's log of a domain, which libvirt keeps as `<directory>/<name>.log`; of a log without lines, or none, the text is empty. Reads at most 1 MiB.
 * Errors: LOG_UNREADABLE.
 */
export async function readQemuLog(directory: string, name: string, lines: number): Promise<LogTail> {
  const file = path.join(directory, `${name}.log`)
  // libvirt allows no slash in a name; whoever finds a way must not make us read elsewhere.
  if (path.dirname(file) !== path.normalize(directory)) throw unreadable(file, 'the name of the VM is not a file name')
  try {
    const handle = await open(file, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    try {
      const stats = await handle.stat()
      if (!stats.isFile()) throw unreadable(file, 'it is not a regular file')
      const from = Math.max(0, stats.size - MAX_BYTES)
      const { buffer, bytesRead } = await handle.read(Buffer.alloc(Math.min(stats.size, MAX_BYTES)), 0, undefined, from)
      const tail = lastLines(buffer.subarray(0, bytesRead).toString('utf8'), from > 0, lines)
      return { path: file, sizeBytes: stats.size, modifiedAt: stats.mtimeMs, ...tail }
    } finally {
      await handle.close()
    }
  } catch (error) {
    if (error instanceof AgentError) throw error
    if ((error as NodeJS.ErrnoException).code !== 'ENOENT') throw unreadable(file, errorText(error), error)
    return { path: file, sizeBytes: 0, text: '', lines: 0, truncated: false }
  }
}

/** The last lines of a text; `cut`: it is the end of a longer one, so that its first line may be a part. */
export function lastLines(text: string, cut: boolean, count: number): Pick<LogTail, 'text' | 'lines' | 'truncated'> {
  const all = text.split('\n')
  if (all.at(-1) === '') all.pop()
  if (cut && all.length > 1) all.shift()
  const kept = all.slice(-count)
  const ending = kept.length > 0 && text.endsWith('\n') ? '\n' : ''
  return { text: kept.join('\n') + ending, lines: kept.length, truncated: cut || kept.length < all.length }
}

function unreadable(file: string, why: string, cause?: unknown): AgentError {
  return new AgentError('LOG_UNREADABLE', `the log ${file} cannot be read: ${why}`, { cause })
}
