import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'

export interface RedirectServerOptions {
  readonly listen: { readonly host: string; readonly port: number }
  /** Where the HTTPS listener is; without it nothing is redirected. */
  readonly httpsPort?: number
  /** What `/.well-known/acme-challenge/<token>` answers (RFC 8555 8.3). */
  readonly challenge?: (token: string) => string | undefined
  readonly log: Logger
}

export interface RedirectServer {
  /** The bound port. */
  readonly port: number
  close(): Promise<void>
}

const HTTPS_PORT = 443
const TIMEOUT_MS = 10_000
const MAX_CONNECTIONS = 100
// A name or address with an optional port; anything else is not put into an answer.
const HOST = /^([A-Za-z0-9._-]{1,253}|\[[0-9A-Fa-f:.]{2,45}\])(?::\d{1,5})?$/

const CHALLENGE = /^\/\.well-known\/acme-challenge\/([\w-]{1,256})$/

/** Plain HTTP that answers ACME challenges and sends everybody else to the HTTPS listener (308, so that methods and bodies stay). LISTEN_FAILED naming the address. */
export async function startRedirectServer({
  listen,
  httpsPort,
  challenge,
  log,
}: RedirectServerOptions): Promise<RedirectServer> {
  const server = createServer(
    { headersTimeout: TIMEOUT_MS, requestTimeout: TIMEOUT_MS, keepAliveTimeout: 1_000 },
    (request, response) => {
      const token = CHALLENGE.exec(request.url ?? '')?.[1]
      const answer = token === undefined ? undefined : challenge?.(token)
      if (answer !== undefined) response.writeHead(200, { 'content-type': 'application/octet-stream' }).end(answer)
      else if (httpsPort === undefined || token !== undefined) response.writeHead(404, { connection: 'close' }).end()
      else redirect(request, response, httpsPort)
    },
  )
  server.maxConnections = MAX_CONNECTIONS
  server.on('clientError', (_error, socket) => socket.destroy())
  try {
    server.listen(listen)
    await once(server, 'listening')
  } catch (error) {
    const text = `cannot listen for HTTP on ${listen.host}:${listen.port} (server.http.tls.redirect_port): ${errorText(error)}`
    throw new AgentError('LISTEN_FAILED', text, { cause: error })
  }
  server.on('error', (error) => log.error({ err: errorText(error) }, 'redirect listener'))
  return {
    port: (server.address() as AddressInfo).port,
    async close() {
      const closed = once(server, 'close')
      server.close()
      server.closeAllConnections()
      await closed
    },
  }
}

function redirect({ headers, url = '/' }: IncomingMessage, response: ServerResponse, httpsPort: number): void {
  const host = HOST.exec(headers.host ?? '')?.[1]
  if (host === undefined || !url.startsWith('/')) {
    response.writeHead(400, { connection: 'close' }).end()
    return
  }
  const port = httpsPort === HTTPS_PORT ? '' : `:${httpsPort}`
  response.writeHead(308, { location: `https://${host}${port}${url}`, connection: 'close' }).end()
}
