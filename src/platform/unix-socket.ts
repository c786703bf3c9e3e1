import { lstat, rm } from 'node:fs/promises'
import { connect } from 'node:net'
import { AgentError } from '../core/errors.ts'

/**
 * Makes room for a listener at `path`: removes a socket that nobody listens on, as a killed process leaves it. LISTEN_FAILED when somebody does,
 * or when something other than a socket is there.
 */
export async function clearStaleSocket(path: string): Promise<void> {
  const stats = await lstat(path).catch((error: NodeJS.ErrnoException) => {
    if (error.code === 'ENOENT') return undefined
    throw error
  })
  if (stats === undefined) return
  if (!stats.isSocket())
    throw new AgentError('LISTEN_FAILED', `cannot listen on ${path}: a file that is not a socket is there`)
  if (await isServed(path))
    throw new AgentError('LISTEN_FAILED', `cannot listen on ${path}: another process listens there`)
  await rm(path, { force: true })
}

function isServed(path: string): Promise<boolean> {
  const { promise, resolve, reject } = Promise.withResolvers<boolean>()
  const socket = connect(path)
  socket.once('connect', () => resolve(true))
  socket.once('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'ECONNREFUSED' || error.code === 'ENOENT') resolve(false)
    else reject(error)
  })
  return promise.finally(() => socket.destroy())
}
