import { chmod, mkdir, stat } from 'node:fs/promises'
import { once } from 'node:events'
import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { startGrpcServer, type GrpcServer } from '../grpc/server.ts'
import { startHttpServer, type HttpServer } from '../http/server.ts'
import { holdDirectory } from '../platform/exclusive.ts'
import { createLogger } from '../platform/log.ts'
import { serviceManager, type ServiceManager } from '../platform/systemd.ts'
import { createRequestStats } from '../services/request-stats.ts'
import { compose, type Agent } from './compose.ts'
import { allowedPeers, splitListenAddress } from './config.ts'
import type { Config } from './config-schema.ts'
import { stateLayout } from './layout.ts'
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
  try {
    await agent.load()
    const listeners = await listen(config, agent, log, layout.socket)
    // Together: new work waits for the recovery, which must not wait for a slow service manager.
    const [watchdog, background] = [
      announce(manager, listeners, config, log),
      recoverAndLink(agent, stopping.signal, log),
    ]
    await stopRequested
    log.info({}, 'stopping')
    clearInterval(await watchdog)
    await manager.stopping()
    await Promise.all([listeners.grpc.drain(DRAIN_MS), ...listeners.http.map((server) => server.close(DRAIN_MS))])
    await background
  } finally {
    await agent.stop(STOP_GRACE_MS)
    hold.release()
  }
  log.info({}, 'stopped')
  return 0
}

async function listen(config: Config, agent: Agent, log: Logger, socket: string): Promise<Listeners> {
  const stats = createRequestStats()
  const { services } = agent
  // On loopback everybody is local; the filter costs a little on every call.
  const filter = config.server.allow_from.length === 0 ? {} : { allowPeer: allowedPeers(config.server.allow_from) }
  const started: (() => Promise<void>)[] = []
  try {
    const grpc = await startGrpcServer({
      services,
      listenAddresses: [config.server.listen_address],
      log,
      stats,
      ...filter,
    })
    started.push(() => Promise.resolve(grpc.forceClose()))
    const http: HttpServer[] = []
    const { enabled, listen_address } = config.server.http
    for (const where of [...(enabled ? [splitListenAddress(listen_address)] : []), { path: socket }]) {
      const server = await startHttpServer({ services, listen: where, log, stats, ...filter })
      started.push(() => server.close(0))
      http.push(server)
    }
    return { grpc, http }
  } catch (error) {
    for (const close of started) await close()
    throw error
  }
}

async function announce(
  manager: ServiceManager,
  { grpc, http }: Listeners,
  config: Config,
  log: Logger,
): Promise<NodeJS.Timeout | undefined> {
  const { host } = splitListenAddress(config.server.listen_address)
  const addresses = { grpc: `${host}:${grpc.ports[0]}`, http: http[0]?.address.replace('http://', '') }
  log.info({ version: VERSION, pid: process.pid, ...addresses, stateDir: config.paths.state_dir }, 'serving')
  await manager.ready(`gRPC ${addresses.grpc}, HTTP ${addresses.http}`)
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

// The control plane calls back while it registers the node, so the listeners are up before.
async function recoverAndLink(agent: Agent, signal: AbortSignal, log: Logger): Promise<void> {
  try {
    await agent.recover(signal)
    if (signal.aborted) return
    log.info({}, 'ready')
    if (agent.link === undefined) return
    // The first heartbeat tells what is there, not that nothing was looked at yet.
    await agent.firstLook(signal)
    if (!signal.aborted) agent.link.start()
  } catch (error) {
    log.error({ err: errorText(error) }, 'recovery failed')
  }
}

async function waitForStop(stopping: AbortController): Promise<void> {
  await Promise.race([once(process, 'SIGTERM'), once(process, 'SIGINT')])
  stopping.abort()
}
