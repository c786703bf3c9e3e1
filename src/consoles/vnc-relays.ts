import { createServer, type NetConnectOpts, type Server, type Socket } from 'node:net'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { bridge, connectConsole, watch } from './bridge.ts'
import type { ConsoleConnections } from './connections.ts'

/** How relays are made. */
export interface RelayOptions {
  /** Ports they may listen on, both included. */
  readonly firstPort: number
  readonly lastPort: number
  readonly connections: ConsoleConnections
  /** How long a relay waits for its one connection; default 30 s. */
  readonly windowMs?: number
  readonly log: Logger
}

/** What one relay is to do. */
export interface RelayRequest {
  readonly vmId: string
  readonly target: NetConnectOpts
  /** The address to listen on. */
  readonly listenAddress: string
  /** Whether a peer with this IP address is the one who asked. */
  readonly isCaller: (address: string) => boolean
}

/**
 * TCP relays to consoles that listen on loopback only: each takes exactly one connection, from the address that asked for it, within its window, and ends with it. Whoever else
 * connects is turned away and does not use it up.
 */
export class VncRelays {
  readonly #options: RelayOptions
  // Ports are taken in turn, so that a late client does not meet the relay of somebody else.
  #next: number

  constructor(options: RelayOptions) {
    this.#options = options
    this.#next = options.firstPort
  }

  /** Opens a relay and returns its port. Errors: CONSOLE_LIMIT, CONSOLE_UNAVAILABLE when no port is free. */
  async open(request: RelayRequest): Promise<number> {
    const { connections, log, windowMs = 30_000 } = this.#options
    const { vmId } = request
    const server = createServer({ noDelay: true })
    const sockets = new Set<Socket>()
    const close = (why: string) => {
      clearTimeout(timer)
      server.close()
      for (const socket of sockets) socket.destroy()
      if (forget()) log.debug({ vm: vmId, why }, 'console relay closed')
    }
    const forget = connections.add(vmId, close)
    const timer = setTimeout(() => close('nobody came'), windowMs)
    let taken = false
    server.on('connection', (socket) => {
      const peer = (socket.remoteAddress ?? '').replace(/^::ffff:/, '')
      if (taken || !request.isCaller(peer)) {
        socket.destroy()
        if (!taken) log.warn({ vm: vmId, peer }, 'a stranger connected to a console relay and was turned away')
        return
      }
      taken = true
      clearTimeout(timer)
      server.close()
      this.#serve(request, socket, sockets, peer).then(
        () => close('the connection ended'),
        (error: unknown) => {
          log.warn({ vm: vmId, peer, err: errorText(error) }, 'the console of a VM cannot be reached')
          close('the console cannot be reached')
        },
      )
    })
    try {
      const port = await this.#listen(server, request.listenAddress)
      // Such as when the descriptors of the agent are used up.
      server.on('error', (error) => {
        log.warn({ vm: vmId, port, err: errorText(error) }, 'a console relay cannot take its connection')
        close(`it cannot take a connection: ${errorText(error)}`)
      })
      return port
    } catch (error) {
      close('it could not listen')
      throw error
    }
  }

  async #serve({ vmId, target }: RelayRequest, client: Socket, sockets: Set<Socket>, peer: string): Promise<void> {
    sockets.add(client)
    // Until the bridge listens.
    client.on('error', () => client.destroy())
    watch(client)
    const guest = await connectConsole(target)
    sockets.add(guest)
    const { log } = this.#options
    log.info({ vm: vmId, peer, kind: 'vnc' }, 'console connected')
    await bridge(client, guest)
    log.info({ vm: vmId, peer, kind: 'vnc' }, 'console disconnected')
  }

  async #listen(server: Server, address: string): Promise<number> {
    const { firstPort, lastPort } = this.#options
    let last: unknown
    for (let tries = 0; tries <= lastPort - firstPort; tries++) {
      const port = this.#next
      this.#next = port >= lastPort ? firstPort : port + 1
      try {
        await listen(server, address, port)
        return port
      } catch (error) {
        last = error
        if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') break
      }
    }
    throw new AgentError(
      'CONSOLE_UNAVAILABLE',
      `no console relay can listen on ${address}, ports ${firstPort} to ${lastPort}: ${errorText(last)}`,
      { cause: last },
    )
  }
}

function listen(server: Server, host: string, port: number): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  server.once('error', reject)
  server.listen({ host, port, exclusive: true }, () => {
    server.off('error', reject)
    resolve()
  })
  return promise
}
