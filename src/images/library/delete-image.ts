import { lstat, unlink } from 'node:fs/promises'
import { AgentError, isAgentError } from '../../core/errors.ts'
import { errnoOf, poolError } from '../../storage/worker/errno.ts'
import { at, openDirectory, openRoot } from '../../storage/worker/pool-root.ts'
import { processesUsing } from '../../storage/worker/processes.ts'
import { manifestPath } from '../manifest.ts'

/**
 * Deletes an image file of a directory that belongs to no pool, with its manifest, durably. Success when it is gone. Blocking: for helpers. Errors: IMAGE_IN_USE for one that a process of this host
 * has open, INVALID_PATH for links and other mounts.
 */
export async function deleteImageFile(params: {
  readonly root: string
  readonly components: readonly string[]
}): Promise<void> {
  const { root, components } = params
  const name = components.at(-1) ?? ''
  const what = `${root}/${components.join('/')}`
  try {
    await using top = await openRoot(root)
    await using directory = await openDirectory(top, components.slice(0, -1))
    if (!(await lstat(at(directory, name))).isFile()) throw new AgentError('INVALID_PATH', `${what} is no regular file`)
    const users = await processesUsing({ root: what, except: [process.pid] })
    if (users.length > 0) throw new AgentError('IMAGE_IN_USE', `${what} is open in ${users.slice(0, 10).join(', ')}`)
    await unlink(at(directory, name))
    await unlink(at(directory, manifestPath(name))).catch((error: unknown) => {
      if (errnoOf(error) !== 'ENOENT') throw error
    })
    await directory.sync()
  } catch (error) {
    if (errnoOf(error) === 'ENOENT' || isAgentError(error, 'FILE_NOT_FOUND', 'POOL_PATH_MISSING')) return
    throw poolError(error, what)
  }
}
