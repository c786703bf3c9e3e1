import { chmod } from 'node:fs/promises'
import { experimental, Server, ServerCredentials, setLogger, type ServiceDefinition } from '@grpc/grpc-js'
import type { AuditTrail } from '../audit/audit-trail.ts'
import type { TlsSource } from '../certificates/host-certificate.ts'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { delay } from '../platform/clock.ts'
import { clearStaleSocket } from '../platform/unix-socket.ts'
import type { Services } from '../services/contracts.ts'
import type { RequestStats } from '../services/request-stats.ts'
import type { CallEnvironment, MalformedRequest } from './call.ts'
import { serialized } from './encoded-records.ts'
import { createHandlers } from './handlers.ts'
import { addHealth } from './health.ts'
import { loadNodeDaemonService } from './load-service.ts'
import { localPeers, peerFilter } from './peer-filter.ts'
import { addReflection } from './reflection.ts'
import { scopeFilter } from './scope-filter.ts'
import { toStatus } from './status.ts'
import { tlsCredentials } from './tls-credentials.ts'

export interface GrpcServerOptions {
  readonly services: Services
  /** `host:port`, `[v6]:port` (port 0 = any free one) or `unix:/absolute/path`; HTTP/2. */
  readonly listenAddresses: readonly string[]
  readonly log: Logger
  readonly stats?: RequestStats
  /** Where calls that change something are written down; nowhere when absent. */
  readonly audit?: AuditTrail
  /** Whether a peer with this IP address may call over TCP; everybody when absent. */
  readonly allowPeer?: (address: string) => boolean
  /** TLS with this certificate, and certificates of clients whose scopes decide; plaintext when absent. */
  readonly tls?: TlsSource
  /** How often each connection is asked for a sign of life, and how long that may take; 30 s and 10 s when absent. */
  readonly keepalive?: { readonly everyMs: number; readonly withinMs: number }
}

export interface GrpcServer {
  /** Bound ports in the order of `listenAddresses`; 0 for a unix socket. */
  readonly ports: readonly number[]
  /**
   * Takes no new connections, ends streams with UNAVAILABLE, waits up to `deadlineMs` for calls in progress, then cuts them. Work that calls had begun
   * goes on. Always resolves; twice is fine.
   */
  drain(deadlineMs: number): Promise<void>
  /** Cuts every connection now. */
  forceClose(): void
}

// A control plane behind a dropped link would hold streams for ever; pings find that out.
const KEEPALIVE = { everyMs: 30_000, withinMs: 10_000 }
const SERVER_OPTIONS = {
  'grpc.max_receive_message_length': 4 * 1024 * 1024,
  'grpc.max_concurrent_streams': 1024,
}

/** How long connections stay that were made under other authorities. */
const AUTHORITIES_GRACE_MS = 10_000

/** Serves NodeDaemonService, the standard health service and reflection. Errors: LISTEN_FAILED naming the address. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { services, log, keepalive = KEEPALIVE } = options
  logLibraryTo(log)
  const { tls } = options
  const server = new Server({
    ...SERVER_OPTIONS,
    'grpc.keepalive_time_ms': keepalive.everyMs,
    'grpc.keepalive_timeout_ms': keepalive.withinMs,
  })
  const env: CallEnvironment = { log, stats: options.stats, audit: options.audit, streams: new Set() }
  const track = (call: Trackable) => trackStream(env, call)
  server.addService(tolerant(loadNodeDaemonService().service), { ...createHandlers(services, env) })
  const health = addHealth(server, services.host, track)
  addReflection(server, log, track)
  const ports: number[] = []
  try {
    for (const address of options.listenAddresses)
      ports.push(await listen(server, address, credentialsOf(address, options)))
  } catch (error) {
    server.forceShutdown()
    throw error
  }
  const unfollow = tls?.onChange(({ authorities }) => {
    // Clients that were admitted by other authorities connect anew.
    if (!authorities) return
    for (const [i, address] of options.listenAddresses.entries()) {
      const host = address.slice(0, address.lastIndexOf(':'))
      if (!address.startsWith('unix:')) server.drain(`${host}:${ports[i]}`, AUTHORITIES_GRACE_MS)
    }
  })
  return {
    ports,
    drain: (deadlineMs) => {
      unfollow?.()
      return drain(server, env, health, deadlineMs)
    },
    forceClose: () => {
      unfollow?.()
      server.forceShutdown()
    },
  }
}

// grpc-js writes to stderr on its own account otherwise. What it has to say reaches callers as errors too.
function logLibraryTo(log: Logger): void {
  const write = (...parts: unknown[]) => log.debug({ source: 'grpc-js' }, parts.map(String).join(' ').slice(0, 500))
  setLogger({ error: write, info: write, debug: write })
}

async function drain(
  server: Server,
  env: CallEnvironment,
  health: { shutdown(): void },
  deadlineMs: number,
): Promise<void> {
  health.shutdown()
  for (const end of env.streams)
    end(new AgentError('SHUTTING_DOWN', 'the agent is stopping; ask again after its restart'))
  const timer = new AbortController()
  // tryShutdown waits for every stream and for clients that hold their connection open, so it alone may never end.
  const quiet = new Promise<void>((resolve) => {
    server.tryShutdown((error) => {
      if (error) env.log.debug({ err: error.message }, 'gRPC server was down before it was drained')
      resolve()
    })
  })
  const late = delay(deadlineMs, timer.signal).then(
    () => env.log.warn({ deadlineMs }, 'gRPC calls were cut off at the drain deadline'),
    () => undefined,
  )
  await Promise.race([quiet, late])
  timer.abort()
  server.forceShutdown()
}

// Each listener has its own, as a peer without an address is somebody else on each.
function credentialsOf(address: string, { allowPeer, audit, tls }: GrpcServerOptions): ServerCredentials {
  const credentials = tls === undefined ? ServerCredentials.createInsecure() : tlsCredentials(tls)
  const filters = allowPeer === undefined ? [] : [peerFilter(allowPeer)]
  const interceptors = [
    // First, so that the others see its peer.
    ...(address.startsWith('unix:') ? [localPeers] : filters),
    ...(tls === undefined ? [] : [scopeFilter(audit)]),
  ]
  if (interceptors.length === 0) return credentials
  return experimental.createServerCredentialsWithInterceptors(credentials, interceptors)
}

async function listen(server: Server, address: string, credentials: ServerCredentials): Promise<number> {
  const path = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined
  if (path !== undefined) await clearStaleSocket(path)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, credentials, (error, bound) => {
      if (error === null) resolve(bound)
      else
        reject(
          new AgentError('LISTEN_FAILED', `cannot listen for gRPC on ${address}: ${errorText(error)}`, {
            cause: error,
          }),
        )
    })
  })
  if (path === undefined) return port
  await chmod(path, 0o600)
  return 0
}

interface Trackable {
  emit(event: 'error', status: unknown): boolean
  once(event: 'cancelled' | 'finish' | 'close', listener: () => void): unknown
}

// Streams of foreign services end at a drain like our own.
function trackStream(env: CallEnvironment, call: Trackable): void {
  const end = (error: AgentError) => call.emit('error', toStatus(error, '-'))
  const forget = () => env.streams.delete(end)
  env.streams.add(end)
  call.once('cancelled', forget)
  call.once('finish', forget)
  call.once('close', forget)
}

// grpc-js answers undecodable requests with INTERNAL; they are the caller's mistake, so the handler is to say so. Answers may bring encoded fields.
function tolerant(definition: ServiceDefinition): ServiceDefinition {
  return Object.fromEntries(
    Object.entries(definition).map(([name, method]) => {
      const requestDeserialize = (bytes: Buffer): unknown => {
        try {
          return method.requestDeserialize(bytes)
        } catch (error) {
          return { malformed: errorText(error) } satisfies MalformedRequest
        }
      }
      const responseSerialize = (message: unknown) => serialized(message, method.responseSerialize)
      return [name, { ...method, requestDeserialize, responseSerialize }]
    }),
  )
}
