import { chmod, mkdir, stat } from 'node:fs/promises'
import { once } from 'node:events'
import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import type { AuditTrail } from '../audit/audit-trail.ts'
import { startGrpcServer, type GrpcServer } from '../grpc/server.ts'
import { startRedirectServer, type RedirectServer } from '../http/redirect-server.ts'
import { startHttpServer, type HttpServer } from '../http/server.ts'
import { hostConfinement } from '../platform/confine.ts'
import { holdDirectory } from '../platform/exclusive.ts'
import { createLogger } from '../platform/log.ts'
import { serviceManager, type ServiceManager } from '../platform/systemd.ts'
import { createRequestStats } from '../services/request-stats.ts'
import { openAudit } from './audit.ts'
import { compose, type Agent } from './compose.ts'
import { allowedPeers, securityMode, splitListenAddress } from './config.ts'
import type { Config } from './config-schema.ts'
import { stateLayout } from './layout.ts'
import { recoverAndLink } from './recover-and-link.ts'
import { selfCheck } from './self-check.ts'
import { VERSION } from './version.ts'

// QEMU runs as another user and reaches seeds, images and default disks below: it may pass, not list. Whatever the umask, and no less than was allowed before.
async function makePassable(directory: string): Promise<void> {
  await mkdir(directory, { recursive: true, mode: 0o711 })
  const { mode } = await stat(directory)
  if ((mode & 0o011) !== 0o011) await chmod(directory, (mode & 0o7777) | 0o011)
}

interface Listeners {
  readonly grpc: GrpcServer
  /** TCP first, if enabled; the unix socket is always there. */
  readonly http: readonly HttpServer[]
  readonly redirect: RedirectServer | undefined
}

// Systemd gives 90 s; creations under way get their chance, then the rest is interrupted and goes on at the next start.
const STOP_GRACE_MS = 20_000
const DRAIN_MS = 3_000

/** Runs the agent until SIGTERM or SIGINT; returns the exit code. Throws what keeps it from serving (CONFIG_INVALID, STATE_DIR_BUSY, LISTEN_FAILED). */
export async function serve(config: Config): Promise<number> {
  const log = createLogger(config.log.level)
  const stopping = new AbortController()
  const stopRequested = waitForStop(stopping)
  const manager = serviceManager(process.env, log)
  const layout = stateLayout(config.paths.state_dir, config.hypervisor.images_path)
  await makePassable(layout.root)
  await makePassable(layout.cloudImages)
  await mkdir(layout.run, { recursive: true, mode: 0o700 })
  const hold = await holdDirectory(layout.root)
  const agent = await compose(config, log)
  const audit = await openAudit(config, log)
  try {
    await agent.load()
    const listeners = await listen(config, agent, log, layout.socket, audit.trail)
    // Together: new work waits for the recovery, which must not wait for a slow service manager.
    const [watchdog, background] = [
      announce(manager, listeners, config, log),
      Promise.all([recoverAndLink(agent, stopping.signal, log), tellConfinement(log)]),
    ]
    await stopRequested
    log.info({}, 'stopping')
    clearInterval(await watchdog)
    await manager.stopping()
    await Promise.all([
      listeners.grpc.drain(DRAIN_MS),
      ...listeners.http.map((server) => server.close(DRAIN_MS)),
      listeners.redirect?.close(),
    ])
    await background
  } finally {
    await agent.stop(STOP_GRACE_MS)
    await audit.close()
    hold.release()
  }
  log.info({}, 'stopped')
  return 0
}

async function listen(
  config: Config,
  agent: Agent,
  log: Logger,
  socket: string,
  audit: AuditTrail | undefined,
): Promise<Listeners> {
  const stats = createRequestStats()
  const { services } = agent
  // On loopback everybody is local; the filter costs a little on every call.
  const filter = config.server.allow_from.length === 0 ? {} : { allowPeer: allowedPeers(config.server.allow_from) }
  const recorded = audit === undefined ? {} : { audit }
  const started: (() => Promise<void>)[] = []
  try {
    const grpc = await startGrpcServer({
      services,
      listenAddresses: [config.server.listen_address],
      log,
      stats,
      ...recorded,
      ...filter,
      ...(securityMode(config) === 'mtls' ? { tls: agent.certificate } : {}),
    })
    started.push(() => Promise.resolve(grpc.forceClose()))
    const http: HttpServer[] = []
    for (const where of httpListeners(config, agent, socket)) {
      const server = await startHttpServer({ services, ...where, log, stats, ...recorded, ...filter })
      started.push(() => server.close(0))
      http.push(server)
    }
    const redirect = await listenForRedirects(config, httpsServer(http)?.port, agent, log)
    return { grpc, http, redirect }
  } catch (error) {
    for (const close of started) await close()
    throw error
  }
}

function httpListeners(config: Config, { certificate }: Agent, socket: string) {
  const { enabled, listen_address, tls } = config.server.http
  return [
    ...(enabled ? [{ listen: splitListenAddress(listen_address) }] : []),
    ...(enabled && tls.enabled
      ? [
          {
            listen: splitListenAddress(tls.listen_address),
            tls: { source: certificate, clientCertificates: securityMode(config) === 'mtls' },
          },
        ]
      : []),
    { listen: { path: socket } },
  ]
}

async function listenForRedirects(
  config: Config,
  httpsPort: number | undefined,
  { challenges }: Agent,
  log: Logger,
): Promise<RedirectServer | undefined> {
  const { tls } = config.server.http
  if (httpsPort === undefined || !tls.redirect_http) return undefined
  const { host } = splitListenAddress(tls.listen_address)
  return startRedirectServer({
    listen: { host, port: tls.redirect_port },
    httpsPort,
    challenge: challenges.answer,
    log,
  })
}

async function announce(
  manager: ServiceManager,
  { grpc, http }: Listeners,
  config: Config,
  log: Logger,
): Promise<NodeJS.Timeout | undefined> {
  const { host } = splitListenAddress(config.server.listen_address)
  const addresses = {
    grpc: `${host}:${grpc.ports[0]}`,
    http: http[0]?.address.replace('http://', ''),
    https: httpsServer(http)?.address.replace('https://', ''),
  }
  log.info({ version: VERSION, pid: process.pid, ...addresses, stateDir: config.paths.state_dir }, 'serving')
  const https = addresses.https === undefined ? '' : `, HTTPS ${addresses.https}`
  await manager.ready(`gRPC ${addresses.grpc}, HTTP ${addresses.http}${https}`)
  const { watchdogIntervalMs } = manager
  const socket = http.at(-1)?.address
  if (watchdogIntervalMs === undefined || socket === undefined) return undefined
  return setInterval(() => {
    // A hung event loop does not get here; a broken listener fails the check. Both end in a restart by systemd.
    selfCheck(socket, watchdogIntervalMs / 2).then(
      () => manager.watchdog(),
      (error: unknown) => log.error({ err: errorText(error) }, 'self-check failed; not feeding the watchdog'),
    )
  }, watchdogIntervalMs)
}

function httpsServer(http: readonly HttpServer[]): HttpServer | undefined {
  return http.find(({ address }) => address.startsWith('https://'))
}

// Found out before the first image needs it.
async function tellConfinement(log: Logger): Promise<void> {
  try {
    const { kind } = await hostConfinement()
    if (kind !== 'rlimits') log.info({ confinement: kind }, 'image tools are confined')
    else
      log.warn(
        { confinement: kind },
        'image tools have limits, but see the host; install the Debian package bubblewrap',
      )
  } catch (error) {
    log.error({ err: errorText(error) }, 'how image tools are confined could not be found out')
  }
}

async function waitForStop(stopping: AbortController): Promise<void> {
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  stopping.abort()
}
