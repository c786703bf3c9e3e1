import { constants, type BigIntStats } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import { AgentError } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { PoolGuard } from '../pool-guard.ts'
import { refuseOwn } from './entry-path.ts'
import { errnoOf, poolError } from './errno.ts'
import { at, openDirectory, openPool } from './pool-root.ts'

const { O_NOFOLLOW, O_NONBLOCK, O_RDONLY } = constants

/** A regular file as it is now; `version` changes with every change of it. */
export interface ContentFacts {
  readonly sizeBytes: number
  readonly modifiedAt: number
  readonly version: string
}

interface InPool {
  readonly guard: PoolGuard
  readonly components: readonly string[]
}

/** Facts about a file that is to be read. Errors: FILE_NOT_FOUND, FILE_NOT_REGULAR, INVALID_PATH. */
export async function statContent(params: InPool): Promise<ContentFacts> {
  await using file = await openFile(params)
  return factsOf(await file.stat({ bigint: true }))
}

/**
 * Up to `length` bytes of a file that is still the same; less at its end. Every call opens the file anew, so that a reader that goes away leaves nothing behind and
 * a new helper can go on. Errors: FILE_CHANGED, those of statContent.
 */
export async function readContent(
  params: InPool & { version: string; offset: number; length: number },
): Promise<Uint8Array> {
  const { components, version, offset, length } = params
  await using file = await openFile(params)
  const path = components.join('/')
  if (factsOf(await file.stat({ bigint: true })).version !== version) {
    throw new AgentError('FILE_CHANGED', `path ${quote(path)} was changed while it was read; begin again`)
  }
  try {
    const bytes = Buffer.allocUnsafeSlow(length)
    const { bytesRead } = await file.read(bytes, 0, length, offset)
    return bytes.subarray(0, bytesRead)
  } catch (error) {
    throw poolError(error, path)
  }
}

async function openFile({ guard, components }: InPool): Promise<FileHandle> {
  refuseOwn(components)
  await using root = await openPool(guard)
  const path = components.join('/')
  const name = components.at(-1)
  if (name === undefined) throw irregular('')
  await using directory = await openDirectory(root, components.slice(0, -1))
  let file: FileHandle
  try {
    file = await open(at(directory, name), O_RDONLY | O_NOFOLLOW | O_NONBLOCK)
  } catch (error) {
    const errno = errnoOf(error)
    // ELOOP: a link, which is not followed; ENXIO: a socket or device without anybody behind it.
    if (errno === 'ELOOP' || errno === 'ENXIO') throw irregular(path)
    if (errno === 'ENOENT') throw new AgentError('FILE_NOT_FOUND', `path ${quote(path)} is missing in the pool`)
    throw poolError(error, path)
  }
  if ((await file.stat()).isFile()) return file
  await file.close()
  throw irregular(path)
}

function factsOf(stat: BigIntStats): ContentFacts {
  const parts = [stat.ino, stat.size, stat.mtimeNs, stat.ctimeNs]
  return {
    sizeBytes: Number(stat.size),
    modifiedAt: Number(stat.mtimeMs),
    version: parts.map((part) => part.toString(36)).join('-'),
  }
}

function irregular(path: string): AgentError {
  return new AgentError('FILE_NOT_REGULAR', `path ${quote(path)} is not a regular file and has no content to send`)
}
