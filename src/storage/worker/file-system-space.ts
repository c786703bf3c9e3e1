import { statfs } from 'node:fs/promises'

/** Bytes of a file system; `availableBytes` without those that are kept for root. */
export interface FileSystemSpace {
  readonly totalBytes: number
  readonly usedBytes: number
  readonly availableBytes: number
}

/** The space of the file system that `path` is on. Errors: those of statfs(2). */
export async function fileSystemSpace(path: string): Promise<FileSystemSpace> {
  const { bsize, blocks, bfree, bavail } = await statfs(path, { bigint: true })
  return {
    totalBytes: Number(blocks * bsize),
    usedBytes: Number((blocks - bfree) * bsize),
    availableBytes: Number(bavail * bsize),
  }
}
