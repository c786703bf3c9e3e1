import { chmod } from 'node:fs/promises'
import { Server, ServerCredentials, setLogger, type ServiceDefinition } from '@grpc/grpc-js'
import type { Logger } from '../core/context.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { delay } from '../platform/clock.ts'
import { clearStaleSocket } from '../platform/unix-socket.ts'
import type { Services } from '../services/contracts.ts'
import type { RequestStats } from '../services/request-stats.ts'
import type { CallEnvironment, MalformedRequest } from './call.ts'
import { createHandlers } from './handlers.ts'
import { addHealth } from './health.ts'
import { loadNodeDaemonService } from './load-service.ts'
import { peerFilter } from './peer-filter.ts'
import { addReflection } from './reflection.ts'
import { toStatus } from './status.ts'

export interface GrpcServerOptions {
  readonly services: Services
  /** `host:port`, `[v6]:port` (port 0 = any free one) or `unix:/absolute/path`; plaintext HTTP/2. */
  readonly listenAddresses: readonly string[]
  readonly log: Logger
  readonly stats?: RequestStats
  /** Whether a peer with this IP address may call; everybody when absent. */
  readonly allowPeer?: (address: string) => boolean
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
const SERVER_OPTIONS = {
  'grpc.keepalive_time_ms': 30_000,
  'grpc.keepalive_timeout_ms': 10_000,
  'grpc.max_receive_message_length': 4 * 1024 * 1024,
  'grpc.max_concurrent_streams': 1024,
}

/** Serves NodeDaemonService, the standard health service and reflection. Errors: LISTEN_FAILED naming the address. */
export async function startGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  const { services, log } = options
  logLibraryTo(log)
  const server = new Server(
    options.allowPeer === undefined
      ? SERVER_OPTIONS
      : { ...SERVER_OPTIONS, interceptors: [peerFilter(options.allowPeer)] },
  )
  const env: CallEnvironment = { log, stats: options.stats, streams: new Set() }
  const track = (call: Trackable) => trackStream(env, call)
  server.addService(tolerant(loadNodeDaemonService().service), { ...createHandlers(services, env) })
  const health = addHealth(server, services.host, track)
  addReflection(server, log, track)
  const ports: number[] = []
  try {
    for (const address of options.listenAddresses) ports.push(await listen(server, address))
  } catch (error) {
    server.forceShutdown()
    throw error
  }
  return {
    ports,
    drain: (deadlineMs) => drain(server, env, health, deadlineMs),
    forceClose: () => server.forceShutdown(),
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

async function listen(server: Server, address: string): Promise<number> {
  const path = address.startsWith('unix:') ? address.slice('unix:'.length) : undefined
  if (path !== undefined) await clearStaleSocket(path)
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync(address, ServerCredentials.createInsecure(), (error, bound) => {
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

// grpc-js answers undecodable requests with INTERNAL; they are the caller's mistake, so the handler is to say so.
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
      return [name, { ...method, requestDeserialize }]
    }),
  )
}
