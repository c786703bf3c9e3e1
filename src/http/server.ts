import { randomUUID } from 'node:crypto'
import { chmod } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { abortable } from '../core/keyed-lock.ts'
import { delay } from '../platform/clock.ts'
import { clearStaleSocket } from '../platform/unix-socket.ts'
import type { Services } from '../services/contracts.ts'
import type { RequestStats } from '../services/request-stats.ts'
import { answerClientError, toHttpError } from './errors.ts'
import type { Route, RouteAnswer } from './route.ts'
import { downloadRoutes } from './routes/downloads.ts'
import { hostRoutes } from './routes/host.ts'
import { poolRoutes } from './routes/pools.ts'
import { documentRoutes } from './routes/documents.ts'
import { vmRoutes } from './routes/vms.ts'
import { errorBody } from './status.ts'
import { zodCompilers } from './validation.ts'

export interface HttpServerOptions {
  readonly services: Services
  readonly listen: { readonly host: string; readonly port: number } | { readonly path: string }
  readonly log: Logger
  /** Counters that /metrics shows; those of the gRPC server when both share one. */
  readonly stats?: RequestStats
  /** Whether a peer with this IP address may connect; everybody when absent. */
  readonly allowPeer?: (address: string) => boolean
}

export interface HttpServer {
  /** `http://host:port`, or the path of the unix socket. */
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
const MAX_PARAM_LENGTH = 200

/** Serves the HTTP API. Errors: LISTEN_FAILED naming the address. */
export async function startHttpServer(options: HttpServerOptions): Promise<HttpServer> {
  const { services, log, stats } = options
  const routes = [
    ...hostRoutes(services.host),
    ...vmRoutes(services.vms),
    ...poolRoutes(services.pools),
    ...downloadRoutes(services.images),
  ]
  routes.push(...documentRoutes(services, stats, () => routes))
  const app = createApp(log)
  app.addHook('onRequest', async (request) => refuseForeignOrigin(request))
  app.addHook('onResponse', async (request, reply) => {
    const method = `${request.method} ${request.routeOptions.url ?? '(none)'}`
    stats?.record('http', method, String(reply.statusCode), reply.elapsedTime)
    log.trace({ http: method, status: reply.statusCode, durationMs: Math.round(reply.elapsedTime) }, 'request served')
  })
  app.setErrorHandler((error, request, reply) => sendError(error, request, reply, log))
  app.setNotFoundHandler((request, reply) => {
    const text = `no route ${request.method} ${quote(request.url)}; see /api/v1/openapi.json`
    return sendError(new AgentError('ROUTE_UNKNOWN', text), request, reply, log)
  })
  for (const route of routes) addRoute(app, route)
  const { allowPeer } = options
  if (allowPeer !== undefined) {
    app.server.on('connection', (socket) => {
      // A unix socket has no address; its file mode guards it.
      if (socket.remoteAddress !== undefined && !allowPeer(socket.remoteAddress)) socket.destroy()
    })
  }
  await listen(app, options.listen)
  const bound = app.server.address()
  return {
    address: 'path' in options.listen ? options.listen.path : `http://${hostText(bound)}`,
    port: typeof bound === 'object' && bound !== null ? bound.port : 0,
    close: (deadlineMs = 10_000) => close(app, log, deadlineMs),
  }
}

function createApp(log: Logger): FastifyInstance {
  const app = fastify({
    logger: false,
    bodyLimit: BODY_LIMIT_BYTES,
    requestTimeout: REQUEST_TIMEOUT_MS,
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

function addRoute(app: FastifyInstance, route: Route): void {
  app.route({
    method: route.method,
    url: route.url,
    schema: {
      ...(route.params === undefined ? {} : { params: route.params }),
      ...(route.query === undefined ? {} : { querystring: route.query }),
      ...(route.body === undefined ? {} : { body: route.body }),
    },
    async handler(request, reply) {
      const { params, query, body } = request
      const signal = signalOf(reply)
      const answer = await abortable(Promise.resolve(route.handle({ params, query, body, signal })), signal)
      return send(reply, answer)
    },
  })
}

function send(reply: FastifyReply, answer: RouteAnswer): FastifyReply {
  reply.code(answer.status)
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
  await reply.type('application/json; charset=utf-8').send(JSON.stringify(errorBody(known)))
}

function signalOf(reply: FastifyReply): AbortSignal {
  const controller = new AbortController()
  reply.raw.once('close', () => {
    if (!reply.raw.writableFinished)
      controller.abort(new AgentError('CANCELLED', 'the caller went away; begun work goes on'))
  })
  return controller.signal
}

// A page in a browser on this host could otherwise drive the loopback listener; pages of this server itself may.
function refuseForeignOrigin(request: FastifyRequest): void {
  const { origin, host } = request.headers
  if (origin === undefined) return
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
