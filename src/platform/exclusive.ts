import { stat } from 'node:fs/promises'
import { createServer, type Server } from 'node:net'
import { AgentError } from '../core/errors.ts'

/**
 * Holds `directory` for this process until it ends, however it ends: an abstract unix socket named after the directory's identity, which the kernel frees with
 * the process. STATE_DIR_BUSY when another process holds it.
 */
export async function holdDirectory(directory: string): Promise<{ release(): void }> {
  const { dev, ino } = await stat(directory)
  const server: Server = createServer((socket) => socket.destroy())
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ path: `\0limiquantix-node/${dev}/${ino}` }, resolve)
  try {
    await promise
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') throw error
    throw new AgentError(
      'STATE_DIR_BUSY',
      `another agent runs with the state directory ${directory}; stop it, or set paths.state_dir`,
    )
  }
  server.unref()
  return { release: () => server.close() }
}
