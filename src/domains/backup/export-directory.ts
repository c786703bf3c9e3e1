import { chmod, chown, mkdir, readdir, rmdir, unlink } from 'node:fs/promises'
import path from 'node:path'
import type { Logger } from '../../core/context.ts'

/** User and group by number. */
export interface SocketOwner {
  readonly uid: number
  readonly gid: number
}

/** Makes the new directory of a socket that QEMU will make there: its own, so that only it and root can enter. */
export async function makeSocketDirectory(socket: string, { uid, gid }: SocketOwner): Promise<void> {
  const directory = path.dirname(socket)
  const parent = path.dirname(directory)
  await mkdir(parent, { recursive: true, mode: 0o711 })
  await chmod(parent, 0o711)
  await mkdir(directory, { mode: 0o700 })
  await chown(directory, uid, gid)
}

/**
 * Removes such a directory and the files in it; success when it is gone. Never goes below it: QEMU's user can put there what it likes, also while root looks, such as a link to elsewhere in the place of a directory. So a directory in it stays, with a
 * word in the log.
 */
export async function removeSocketDirectory(socket: string, log: Logger): Promise<void> {
  const directory = path.dirname(socket)
  try {
    for (const name of await readdir(directory)) {
      await unlink(path.join(directory, name)).catch((error: NodeJS.ErrnoException) => {
        if (error.code !== 'EISDIR' && error.code !== 'ENOENT') throw error
      })
    }
    await rmdir(directory)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ENOENT') return
    if (code !== 'ENOTEMPTY') throw error
    log.warn({ directory }, 'something that is no socket is left where QEMU served an export; look at it and remove it')
  }
}
