import { constants } from 'node:fs'
import { open, type FileHandle } from 'node:fs/promises'
import path from 'node:path'
import { quote } from '../core/ids.ts'
import { poolError } from '../storage/worker/errno.ts'
import { alignedMemory } from './aligned-memory.ts'

/** Alignment that satisfies O_DIRECT on every usual device. */
export const BLOCK_BYTES = 4096

/** A file open for writing. */
export interface DirectFile {
  readonly handle: FileHandle
  /** Writes bypass the page cache: positions, lengths and memory must be multiples of BLOCK_BYTES. */
  readonly direct: boolean
}

const { O_CREAT, O_DIRECT, O_EXCL, O_NOFOLLOW, O_RDONLY, O_WRONLY } = constants

/** Creates `file`, which must be new; with `keepBytes` opens one that has at least that many, and cuts off the rest. Errors: POOL_FULL, POOL_NOT_WRITABLE, POOL_IO_ERROR, FILE_NOT_FOUND. */
export async function openForWriting(file: string, keepBytes: number): Promise<DirectFile> {
  try {
    const plain = keepBytes > 0 ? await openKept(file, keepBytes) : await create(file)
    const handle = await openDirect(file, keepBytes)
    if (handle === undefined) return { handle: plain, direct: false }
    await plain.close()
    return { handle, direct: true }
  } catch (error) {
    throw poolError(error, quote(path.basename(file)))
  }
}

/** Opens the same file for reading, in the same way. */
export async function openForReading(file: string, direct: boolean): Promise<FileHandle> {
  return open(file, O_RDONLY | O_NOFOLLOW | (direct ? O_DIRECT : 0))
}

async function create(file: string): Promise<FileHandle> {
  const handle = await open(file, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW, 0o644)
  // Whatever the umask: QEMU runs as another user and only reads.
  await handle.chmod(0o644)
  return handle
}

async function openKept(file: string, keepBytes: number): Promise<FileHandle> {
  const handle = await open(file, O_WRONLY | O_NOFOLLOW)
  await handle.truncate(keepBytes)
  return handle
}

// Some file systems refuse O_DIRECT at open, others only at the first write.
async function openDirect(file: string, position: number): Promise<FileHandle | undefined> {
  let handle: FileHandle | undefined
  try {
    handle = await open(file, O_WRONLY | O_NOFOLLOW | O_DIRECT)
    const block = new Uint8Array(alignedMemory(BLOCK_BYTES), 0, BLOCK_BYTES)
    await handle.write(block, 0, BLOCK_BYTES, position)
    return handle
  } catch (error) {
    await handle?.close()
    if ((error as NodeJS.ErrnoException).code === 'EINVAL') return undefined
    throw error
  }
}
