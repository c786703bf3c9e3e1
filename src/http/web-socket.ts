import { ServerResponse, type IncomingMessage } from 'node:http'
import type { Duplex } from 'node:stream'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { createWebSocketStream, WebSocketServer, type WebSocket } from 'ws'
import type { RouteAnswer } from './route.ts'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'

/** A browser's proxy would cut a silent connection off after about a minute; a peer that is gone is noticed within two of these. */
const PING_MS = 20_000
const MAX_MESSAGE_BYTES = 1024 * 1024
/** How long a peer may take to answer the closing handshake (RFC 6455, section 7.1.1). */
const CLOSE_MS = 2_000
const GOING_AWAY = 1001

type Upgrade = NonNullable<RouteAnswer['upgrade']>

/** Accepts WebSockets (RFC 6455) on one server: requests for an upgrade go through its routes and hooks as any other. */
export interface WebSockets {
  /** Requires that a request asks for an upgrade. UPGRADE_REQUIRED. */
  require(request: FastifyRequest): void
  /** Answers the request with the upgrade and hands `use` its messages as a stream of bytes, each side as fast as the other takes them; it ends when `use` resolves. */
  accept(request: FastifyRequest, reply: FastifyReply, upgrade: Upgrade): void
}

/** Options of the HTTP server: only upgrades to WebSocket are upgrades, whatever else a client offers (h2c) is a plain request. */
export const upgradeOptions = {
  shouldUpgradeCallback: ({ headers }: IncomingMessage) => headers.upgrade?.toLowerCase() === 'websocket',
}

/** Takes the upgrades of `app`. When `closing` fires, open sockets are told so and closed. */
export function webSockets(app: FastifyInstance, closing: AbortSignal, log: Logger, pingMs = PING_MS): WebSockets {
  const heads = new WeakMap<IncomingMessage, Buffer>()
  const server = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MAX_MESSAGE_BYTES,
    // What VNC clients in browsers ask for.
    handleProtocols: (offered) => (offered.has('binary') ? 'binary' : false),
  })
  app.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    // Without a listener an error of the socket would be the end of the agent.
    socket.on('error', () => socket.destroy())
    heads.set(request, head)
    const response = new ServerResponse(request)
    // An answer without an upgrade is the last one.
    response.shouldKeepAlive = false
    response.assignSocket(request.socket)
    response.once('finish', () => socket.end())
    app.routing(request, response)
  })
  return {
    require({ raw }) {
      if (heads.has(raw)) return
      throw new AgentError('UPGRADE_REQUIRED', 'this is served over WebSocket only; send a WebSocket handshake')
    },
    accept(request, reply, { use, abandon }) {
      const { raw } = request
      reply.hijack()
      reply.raw.detachSocket(raw.socket)
      let accepted = false
      server.handleUpgrade(raw, raw.socket, heads.get(raw) ?? Buffer.alloc(0), (socket) => {
        accepted = true
        serve(socket, closing, pingMs, use).catch((error: unknown) => {
          log.info({ requestId: request.id, err: errorText(error) }, 'a WebSocket broke')
        })
      })
      // Called by now, unless the handshake was wrong or the client is gone.
      if (!accepted) abandon()
    },
  }
}

async function serve(
  socket: WebSocket,
  closing: AbortSignal,
  pingMs: number,
  use: (peer: Duplex) => Promise<void>,
): Promise<void> {
  const stopPings = keepAlive(socket, pingMs)
  const leave = () => {
    socket.close(GOING_AWAY, 'the agent is stopping')
    setTimeout(() => socket.terminate(), CLOSE_MS).unref()
  }
  closing.addEventListener('abort', leave, { once: true })
  if (closing.aborted) leave()
  const peer = createWebSocketStream(socket)
  try {
    await use(peer)
  } finally {
    closing.removeEventListener('abort', leave)
    stopPings()
    peer.destroy()
    if (socket.readyState !== socket.CLOSED) setTimeout(() => socket.terminate(), CLOSE_MS).unref()
  }
}

function keepAlive(socket: WebSocket, pingMs: number): () => void {
  let answered = true
  socket.on('pong', () => (answered = true))
  const timer = setInterval(() => {
    if (!answered) {
      socket.terminate()
      return
    }
    answered = false
    socket.ping()
  }, pingMs)
  return () => clearInterval(timer)
}
