import { randomUUID } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import { Readable } from 'node:stream'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { AuditTrail } from '../audit/audit-trail.ts'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { abortable } from '../core/keyed-lock.ts'
import { delay } from '../platform/clock.ts'
import { clearStaleSocket } from '../platform/unix-socket.ts'
import type { Services } from '../services/contracts.ts'
import type { RequestStats } from '../services/request-stats.ts'
import { auditedRequest, auditRefusals, type RequestAudit } from './audit.ts'
import { answerClientError, toHttpError } from './errors.ts'
import { filterPeers } from './peer-filter.ts'
import type { Route, RouteAnswer } from './route.ts'
import { conversionRoutes } from './routes/conversions.ts'
import { certificateRoutes } from './routes/certificates.ts'
import { clusterRoutes } from './routes/cluster.ts'
import { downloadRoutes } from './routes/downloads.ts'
import { consoleRoutes } from './routes/consoles.ts'
import { eventRoutes } from './routes/events.ts'
import { guestRoutes } from './routes/guests.ts'
import { hostRoutes } from './routes/host.ts'
import { imageRateRoutes } from './routes/image-rates.ts'
import { imageRoutes } from './routes/images.ts'
import { jobRoutes } from './routes/jobs.ts'
import { poolFileRoutes } from './routes/pool-files.ts'
import { poolRoutes } from './routes/pools.ts'
import { uploadRoutes } from './routes/uploads.ts'
import { updateRoutes } from './routes/updates.ts'
import { migrationRoutes } from './routes/migrations.ts'
import { registrationRoutes } from './routes/registration.ts'
import { volumeRoutes } from './routes/volumes.ts'
import { documentRoutes } from './routes/documents.ts'
import { vmDeviceRoutes } from './routes/vm-devices.ts'
import { vmBackupRoutes } from './routes/vm-backups.ts'
import { vmSnapshotRoutes } from './routes/vm-snapshots.ts'
import { vmRoutes } from './routes/vms.ts'
import { errorBody } from './status.ts'
import { followCertificate, requireRouteScope, tlsServerOptions, type HttpTls } from './tls.ts'
import { zodCompilers } from './validation.ts'
import { upgradeOptions, webSockets, type WebSockets } from './web-socket.ts'

export interface HttpServerOptions {
  readonly services: Services
  readonly listen: { readonly host: string; readonly port: number } | { readonly path: string }
  readonly log: Logger
  /** Counters that /metrics shows; those of the gRPC server when both share one. */
  readonly stats?: RequestStats
  /** Where requests that change something are written down; nowhere when absent. */
  readonly audit?: AuditTrail
  /** Whether a peer with this IP address may connect over TCP; everybody when absent. */
  readonly allowPeer?: (address: string) => boolean
  /** HTTPS with this certificate; plain HTTP when absent. */
  readonly tls?: HttpTls
  /** How long the body of a request may take to come; default 30 s. */
  readonly bodyTimeoutMs?: number
}

export interface HttpServer {
  /** `http://host:port` (`https://` with TLS), or the path of the unix socket. */
  readonly address: string
  /** The bound port; 0 for a unix socket. */
  readonly port: number
  /** Takes no new requests, waits up to `deadlineMs` (default 10 s) for those in progress, then cuts them. Always resolves; twice is fine. */
  close(deadlineMs?: number): Promise<void>
}

// A create request carries up to four cloud-init documents of 1 MiB each, escaped.
const BODY_LIMIT_BYTES = 8 * 1024 * 1024
const REQUEST_TIMEOUT_MS = 30_000
const KEEP_ALIVE_MS = 75_000
/** How long a receiver of a stream may take nothing. */
const STALL_TIMEOUT_MS = 60_000
const MAX_PARAM_LENGTH = 200

/** Serves the HTTP API. Errors: LISTEN_FAILED naming the address. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { services, log, stats } = options
  const routes = [
    ...hostRoutes(services.host, services.vms),
    ...eventRoutes(services.events),
    ...vmRoutes(services.vms),
    ...vmDeviceRoutes(services.devices),
    ...vmSnapshotRoutes(services.snapshots),
    ...migrationRoutes(services.migrations),
    ...vmBackupRoutes(services.backups),
    ...guestRoutes(services.guests),
    ...consoleRoutes(services.consoles),
    ...updateRoutes(services.host),
    ...poolRoutes(services.pools),
    ...poolFileRoutes(services.pools),
    ...volumeRoutes(services.volumes),
    ...downloadRoutes(services.images),
    ...conversionRoutes(services.intake),
    ...uploadRoutes(services.intake, services.library),
    ...imageRoutes(services.library),
    ...imageRateRoutes(services.rates),
    ...jobRoutes(services.jobs),
    ...registrationRoutes(services.cluster, services.host),
    ...clusterRoutes(services.cluster, services.host),
    ...certificateRoutes(services.certificates),
  ]
  routes.push(...documentRoutes(services, stats, () => routes, options.audit))
  const app = createApp(log, options.tls)
  if (options.tls?.clientCertificates === true) app.addHook('onRequest', async (request) => requireRouteScope(request))
  app.addHook('onRequest', async (request) => refuseForeignOrigin(request))
  app.addHook('onRequest', async (request) => limitBody(request, options.bodyTimeoutMs ?? REQUEST_TIMEOUT_MS))
  app.addHook('onResponse', async (request, reply) => {
    const method = `${request.method} ${request.routeOptions.url ?? '(none)'}`
    stats?.record('http', method, String(reply.statusCode), reply.elapsedTime)
    log.trace({ http: method, status: reply.statusCode, durationMs: Math.round(reply.elapsedTime) }, 'request served')
  })
  const local = 'path' in options.listen
  const audit: RequestAudit = { trail: options.audit, local, begun: new WeakSet() }
  auditRefusals(app, routes, audit)
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply, log))
  app.setNotFoundHandler((request, reply) => {
    const text = `no route ${request.method} ${quote(request.url)}; see /api/v1/openapi.json`
    return sendError(new AgentError('ROUTE_UNKNOWN', text), request, reply, log)
  })
  const closing = new AbortController()
  const [receiving, plain] = [routes.filter(({ receives }) => receives), routes.filter(({ receives }) => !receives)]
  const sockets = webSockets(app, closing.signal, log)
  const context = { log, audit, sockets, closing: closing.signal, local }
  for (const route of plain) addRoute(app, route, context)
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, payload, done) => done(null, payload))
    for (const route of receiving) addRoute(scope, route, context)
  })
  // A unix socket is guarded by its file mode.
  if (!local) filterPeers(app.server, options.allowPeer)
  await listen(app, options.listen)
  // Without a listener, one connection that cannot be accepted (no more descriptors) would end the agent.
  app.server.on('error', (error) => log.error({ err: errorText(error) }, 'a connection could not be accepted'))
  const unfollow = options.tls === undefined ? undefined : followCertificate(app.server, options.tls, log)
  const bound = app.server.address()
  return {
    address:
      'path' in options.listen
        ? options.listen.path
        : `${options.tls === undefined ? 'http' : 'https'}://${hostText(bound)}`,
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    close(deadlineMs = 10_000) {
      unfollow?.()
      closing.abort(new AgentError('SHUTTING_DOWN', 'the agent is stopping'))
      return close(app, log, deadlineMs)
    },
  }
}

function createApp(log: Logger, tls: HttpTls | undefined): FastifyInstance {
  const options = { headersTimeout: REQUEST_TIMEOUT_MS, ...upgradeOptions }
  const app = fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    // Uploads take their time; limitBody watches over the others.
    requestTimeout: 0,
    http: options,
    ...(tls === undefined ? {} : ({ https: { ...options, ...tlsServerOptions(tls) } } as object)),
    keepAliveTimeout: KEEP_ALIVE_MS,
    forceCloseConnections: 'idle',
    routerOptions: { maxParamLength: MAX_PARAM_LENGTH },
    schemaController: { compilersFactory: zodCompilers },
    genReqId: requestIdOf,
    clientErrorHandler: (error, socket) => answerClientError(error, socket),
    frameworkErrors: (error, request, reply) => void sendError(error, request, reply, log),
  })
  const parse = app.getDefaultJsonParser('error', 'error')
  // Clients send power requests with a JSON content type and no body.
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('application/json', { parseAs: 'string' }, (request, body, done) => {
    if (body.length === 0) done(null, undefined)
    else void parse(request, body as string, done)
  })
  return app
}

// A body has to be there in time; one that is received piece by piece only has to go on.
function limitBody({ raw, routeOptions }: FastifyRequest, timeoutMs: number): void {
  const { receives, upgrades } = routeOptions.config as { receives?: boolean; upgrades?: boolean }
  // A WebSocket has no body, and a socket that outlives its request.
  if (upgrades === true) return
  if (receives === true) {
    raw.setTimeout(STALL_TIMEOUT_MS, () => raw.destroy())
    // What is made of it may take longer than that.
    raw.once('end', () => raw.setTimeout(0))
    return
  }
  const late = () => {
    // There is no 'end' of a body that nobody reads, such as that of a request without one: its answer may take as long as it takes.
    if (raw.complete) return
    answerClientError(Object.assign(new Error('late'), { code: 'ERR_HTTP_REQUEST_TIMEOUT' }), raw.socket)
  }
  const timer = setTimeout(late, timeoutMs)
  timer.unref()
  for (const end of ['end', 'close']) raw.once(end, () => clearTimeout(timer))
}

interface RouteContext {
  readonly log: Logger
  readonly audit: RequestAudit
  readonly sockets: WebSockets
  readonly closing: AbortSignal
  readonly local: boolean
}

function addRoute(app: FastifyInstance, route: Route, context: RouteContext): void {
  const { log, audit, closing, local, sockets } = context
  app.route({
    method: route.method,
    url: route.url,
    config: { receives: route.receives === true, upgrades: route.upgrades === true },
    schema: {
      ...(route.params === undefined ? {} : { params: route.params }),
      ...(route.query === undefined ? {} : { querystring: route.query }),
      ...(route.body === undefined ? {} : { body: route.body }),
    },
    async handler(request, reply) {
      const { params, query, body, headers } = request
      const controller = controllerOf(reply)
      const { signal } = controller
      if (route.upgrades === true) sockets.require(request)
      const work = () =>
        route.handle({ params, query, body, headers, signal, peer: request.raw.socket.remoteAddress, local })
      const answer = await abortable(auditedRequest(audit, route, request, work), signal)
      if (answer.upgrade !== undefined) return sockets.accept(request, reply, answer.upgrade)
      if (answer.live === true) endWith(reply, controller, closing)
      return send(reply, answer, request, log)
    },
  })
}

function send(reply: FastifyReply, answer: RouteAnswer, request: FastifyRequest, log: Logger): FastifyReply {
  reply.code(answer.status).headers(answer.headers ?? {})
  if (answer.stream !== undefined) {
    reply.type(answer.contentType ?? 'application/octet-stream')
    // A receiver that takes nothing any more is cut off.
    reply.raw.setTimeout(STALL_TIMEOUT_MS)
    const readAhead = answer.live === true ? { highWaterMark: 1 } : {}
    const stream = Readable.from(request.method === 'HEAD' ? [] : answer.stream, { objectMode: false, ...readAhead })
    const facts = { http: `${request.method} ${request.routeOptions.url ?? ''}`, requestId: request.id }
    stream.on('error', (error) => log.info({ ...facts, err: errorText(error) }, 'an answer was cut off in the middle'))
    return reply.send(stream)
  }
  if (answer.contentType !== undefined) return reply.type(answer.contentType).send(answer.body)
  if (answer.body === undefined) return reply.send()
  return reply.type('application/json; charset=utf-8').send(JSON.stringify(answer.body))
}

async function sendError(error: unknown, request: FastifyRequest, reply: FastifyReply, log: Logger): Promise<void> {
  const { status, error: known } = toHttpError(error)
  const facts = {
    http: `${request.method} ${request.routeOptions.url ?? '(none)'}`,
    requestId: request.id,
    status,
    reason: known.reason,
    err: known.message,
  }
  if (status === 500)
    log.error({ ...facts, stack: (known.cause instanceof Error ? known.cause : known).stack }, 'request failed')
  else log.debug(facts, 'request failed')
  reply.code(status).header('limiquantix-request-id', request.id)
  // Who is refused need not send the rest of a large body.
  if (!request.raw.complete) reply.header('connection', 'close')
  const waitMs = known.details['retryAfterMs']
  if (waitMs !== undefined && status === 429) reply.header('retry-after', String(Math.ceil(Number(waitMs) / 1000)))
  await reply.type('application/json; charset=utf-8').send(JSON.stringify(errorBody(known)))
}

function controllerOf(reply: FastifyReply): AbortController {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished)
      controller.abort(new AgentError('CANCELLED', 'the caller went away; begun work goes on'))
  })
  return controller
}

// Nobody would end such an answer by waiting for its end.
function endWith(reply: FastifyReply, controller: AbortController, closing: AbortSignal): void {
  const end = () => controller.abort(closing.reason)
  if (closing.aborted) end()
  closing.addEventListener('abort', end, { once: true })
  reply.raw.once('close', () => closing.removeEventListener('abort', end))
}

// A page in a browser on this host could otherwise drive the loopback listener; pages of this server itself may.
function refuseForeignOrigin(request: FastifyRequest): void {
  const { origin, host } = request.headers
  const { upgrades } = request.routeOptions.config as { upgrades?: boolean }
  if (origin === undefined || upgrades === true) return
  const page = URL.parse(origin)
  // A name proves nothing: whoever owns it may have pointed it at this host (DNS rebinding).
  const isPlain = page !== null && (page.hostname === 'localhost' || isIP(page.hostname.replace(/^\[|\]$/g, '')) !== 0)
  if (page?.host !== host || !isPlain) {
    throw new AgentError('ORIGIN_REFUSED', `requests of web pages from ${quote(origin)} are not served`)
  }
}

function requestIdOf(request: IncomingMessage): string {
  const given = request.headers['x-request-id']
  return typeof given === 'string' && /^[\w.:-]{1,64}$/.test(given) ? given : randomUUID()
}

async function listen(app: FastifyInstance, where: HttpServerOptions['listen']): Promise<void> {
  try {
    if ('path' in where) await clearStaleSocket(where.path)
    await app.listen('path' in where ? { path: where.path } : { host: where.host, port: where.port })
    if ('path' in where) await chmod(where.path, 0o600)
  } catch (error) {
    await app.close()
    if (error instanceof AgentError) throw error
    const address = 'path' in where ? where.path : `${where.host}:${where.port}`
    throw new AgentError('LISTEN_FAILED', `cannot listen for HTTP on ${address}: ${errorText(error)}`, { cause: error })
  }
}

async function close(app: FastifyInstance, log: Logger, deadlineMs: number): Promise<void> {
  const timer = new AbortController()
  const late = delay(deadlineMs, timer.signal).then(
    () => {
      log.warn({ deadlineMs }, 'HTTP requests were cut off at the close deadline')
      app.server.closeAllConnections()
    },
    () => undefined,
  )
  await Promise.race([app.close(), late])
  timer.abort()
}

function hostText(bound: ReturnType<FastifyInstance['server']['address']>): string {
  if (bound === null || typeof bound === 'string') return ''
  return `${bound.family === 'IPv6' ? `[${bound.address}]` : bound.address}:${bound.port}`
}
