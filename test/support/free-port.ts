import { randomInt } from 'node:crypto'
import { once } from 'node:events'
import { createServer } from 'node:net'

/** Above the ports of services, below those that the kernel gives out by itself (net.ipv4.ip_local_port_range). */
const RANGE = [20_000, 32_000] as const
const given = new Set<number>()

/** A TCP port of a loopback address that is free now, and that nobody who asks for any port, or connects to somewhere, gets afterwards. */
export async function freePort(host = '127.0.0.1'): Promise<number> {
  for (;;) {
    const port = randomInt(...RANGE)
    if (given.has(port)) continue
    const server = createServer().listen(port, host)
    try {
      await once(server, 'listening')
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EADDRINUSE') continue
      throw error
    }
    server.close()
    await once(server, 'close')
    given.add(port)
    return port
  }
}
