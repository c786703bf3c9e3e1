import { randomUUID } from 'node:crypto'
import { open, readFile, rename, rm } from 'node:fs/promises'
import path from 'node:path'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'

/** The file name suffix of everything that is being written and not yet there: safe to delete at start. */
export const TEMP_SUFFIX = '.lqxtmp'

/**
 * Replaces `file` as a whole: temp file beside it, fsync, rename, fsync of the directory. A crash leaves the old or the new content, never
 * a mixture. The mode applies from the first byte (default 0600).
 */
export async function writeFileAtomic(file: string, data: string | Uint8Array, mode = 0o600): Promise<void> {
  const temp = `${file}.${randomUUID()}${TEMP_SUFFIX}`
  try {
    const handle = await open(temp, 'wx', mode)
    try {
      await handle.writeFile(data)
      await handle.sync()
    } finally {
      await handle.close()
    }
    await rename(temp, file)
  } catch (error) {
    await rm(temp, { force: true })
    throw error
  }
  await syncDirectory(path.dirname(file))
}

/** Makes renames and removals in `directory` durable. */
export async function syncDirectory(directory: string): Promise<void> {
  const handle = await open(directory, 'r')
  try {
    await handle.sync()
  } finally {
    await handle.close()
  }
}

/** The content of a small text file, or undefined when it is not there. */
export async function readTextIfPresent(file: string): Promise<string | undefined> {
  try {
    return await readFile(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

/** The components of a relative path from a request; `""` and `"."` are the root itself. Throws INVALID_PATH. */
export function splitRelative(relative: string): string[] {
  const trimmed = relative.replace(/\/+$/, '')
  if (trimmed === '' || trimmed === '.') return []
  if (trimmed.startsWith('/')) throw new AgentError('INVALID_PATH', `path ${quote(relative)} must be relative`)
  const parts = trimmed.split('/')
  for (const part of parts) {
    if (part === '' || part === '.' || part === '..' || hasControl(part) || Buffer.byteLength(part) > 255) {
      throw new AgentError('INVALID_PATH', `path ${quote(relative)} has a component that is not allowed`)
    }
  }
  return parts
}

/** True when absolute `inner` is `outer` or below it, by text (both normalised). */
export function isInside(outer: string, inner: string): boolean {
  const relative = path.relative(outer, inner)
  return relative === '' || (relative !== '..' && !relative.startsWith('../') && !path.isAbsolute(relative))
}

/** An absolute, normalised path from configuration or a request; INVALID_PATH naming `field` otherwise. */
export function parseAbsolutePath(text: string, field: string): string {
  if (!path.isAbsolute(text) || hasControl(text) || text.split('/').includes('..') || Buffer.byteLength(text) > 4095) {
    throw new AgentError(
      'INVALID_PATH',
      `${field}: ${quote(text)} is not an absolute path, or has ".." or control characters in it`,
    )
  }
  return path.normalize(text).replace(/(.)\/+$/, '$1')
}

function hasControl(text: string): boolean {
  return /[\u0000-\u001f\u007f]/.test(text)
}
