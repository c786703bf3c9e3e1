import type { Server } from 'node:http'
import type { Server as HttpsServer } from 'node:https'
import { TLSSocket, type SecureContextOptions, type TlsOptions } from 'node:tls'
import type { FastifyRequest } from 'fastify'
import { clientIdentity, requireScope } from '../certificates/client-scopes.ts'
import type { TlsSource } from '../certificates/host-certificate.ts'
import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { routeScope } from './route-scopes.ts'

/** How a listener does TLS. */
export interface HttpTls {
  readonly source: TlsSource
  /** Clients need a certificate of the authorities, and its scopes decide what they may do. */
  readonly clientCertificates: boolean
}

const HANDSHAKE_TIMEOUT_MS = 10_000
/** How long connections stay that were made under other authorities. */
const AUTHORITIES_GRACE_MS = 10_000

/** Options of an HTTPS server that begins with the certificate in use now. */
export function tlsServerOptions(tls: HttpTls): TlsOptions {
  const { clientCertificates } = tls
  return {
    ...secureContext(tls),
    requestCert: clientCertificates,
    rejectUnauthorized: clientCertificates,
    handshakeTimeout: HANDSHAKE_TIMEOUT_MS,
  }
}

/** Uses every later certificate for new connections. Open ones go on, but end soon when the authorities changed by which they were admitted. Returns what ends that. */
export function followCertificate(server: Server, tls: HttpTls, log: Logger): () => void {
  const https = server as unknown as HttpsServer
  const open = new Set<TLSSocket>()
  https.on('tlsClientError', (error) => log.debug({ err: errorText(error) }, 'a TLS handshake failed'))
  https.on('secureConnection', (socket) => {
    open.add(socket)
    socket.once('close', () => open.delete(socket))
  })
  return tls.source.onChange(({ authorities }) => {
    https.setSecureContext(secureContext(tls))
    if (!authorities || !tls.clientCertificates) return
    const former = [...open]
    https.closeIdleConnections()
    setTimeout(() => {
      for (const socket of former) socket.destroy()
    }, AUTHORITIES_GRACE_MS).unref()
  })
}

/** Throws unless the certificate of the caller allows the route (errors of `requireScope`). What is no route is left to the answer for that. */
export function requireRouteScope({ raw, method, routeOptions }: FastifyRequest): void {
  const { url } = routeOptions
  if (url === undefined) return
  const { socket } = raw
  const client =
    socket instanceof TLSSocket && socket.authorized ? clientIdentity(socket.getPeerCertificate()) : undefined
  requireScope(client, routeScope(method, url), `${method} ${url}`)
}

function secureContext({ source, clientCertificates }: HttpTls): SecureContextOptions {
  const { key, chain, authorities, revocations } = source.material()
  if (!clientCertificates) return { key, cert: chain }
  // An empty list is nobody; without a list it would be the authorities of the public web.
  return { key, cert: chain, ca: [...authorities], ...(revocations.length === 0 ? {} : { crl: [...revocations] }) }
}
