import { lstat, mkdir, readdir, realpath, rmdir } from 'node:fs/promises'
import path from 'node:path'
import { isInside } from '../../platform/files.ts'
import { errnoOf, poolError } from './errno.ts'

/** What is at the place of a mount point that nothing is mounted on. */
export interface MountPointFacts {
  /** Where the path leads, symbolic links followed as far as it is there. */
  readonly real: string
  /** Outermost component that is missing; absent when the directory is there. */
  readonly missing?: string
  readonly isDirectory: boolean
  readonly isEmpty: boolean
}

/** Looks at a mount point before the mount, without making anything. */
export async function lookAtMountPoint({ target }: { target: string }): Promise<MountPointFacts> {
  let missing: string | undefined
  for (let present = target; ; present = path.dirname(present)) {
    try {
      const real = path.join(await realpath(present), path.relative(present, target))
      if (missing !== undefined) return { real, missing, isDirectory: false, isEmpty: true }
      const isDirectory = (await lstat(real)).isDirectory()
      return { real, isDirectory, isEmpty: isDirectory && (await readdir(real)).length === 0 }
    } catch (error) {
      if (errnoOf(error) !== 'ENOENT' || present === '/') throw poolError(error, target)
      missing = present
    }
  }
}

/** Makes a mount point (0700: nobody needs it while nothing is mounted) and, with `parents`, the directories above it (0711). */
export async function makeMountPoint({ target, parents }: { target: string; parents: boolean }): Promise<void> {
  try {
    if (parents) await mkdir(path.dirname(target), { recursive: true, mode: 0o711 })
    await mkdir(target, { mode: 0o700 })
  } catch (error) {
    if (errnoOf(error) !== 'EEXIST') throw poolError(error, target)
  }
}

/** Removes a mount point and the empty directories above it up to `outermost`; what is in use, mounted or not empty stays. */
export async function removeMountPoint({ target, outermost }: { target: string; outermost: string }): Promise<void> {
  for (let directory = target; isInside(outermost, directory); directory = path.dirname(directory)) {
    try {
      await rmdir(directory)
    } catch (error) {
      const errno = errnoOf(error) ?? ''
      if (errno === 'ENOENT') continue
      if (['ENOTEMPTY', 'EEXIST', 'EBUSY', 'ENOTDIR'].includes(errno)) return
      throw poolError(error, directory)
    }
  }
}
