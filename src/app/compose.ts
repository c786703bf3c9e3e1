import type { TlsSource } from '../certificates/host-certificate.ts'
import { JoinTokens } from '../controlplane/join-tokens.ts'
import type { LinkStatus } from '../controlplane/link.ts'
import { Membership } from '../controlplane/membership.ts'
import type { Logger } from '../core/context.ts'
import { errorText } from '../core/errors.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { ControlPlaneStatus } from '../core/model.ts'
import { attachInfo } from '../domains/attach-info.ts'
import { findBackingImage } from '../domains/disk-origin.ts'
import { HypervisorStatus } from '../domains/hypervisor-status.ts'
import { createHardware } from '../host/hardware.ts'
import { createInventory } from '../host/inventory.ts'
import { createSmartWatch } from '../host/smart.ts'
import { HostIoCounters } from '../host/io-counters.ts'
import { startTelemetry } from '../host/telemetry.ts'
import { createClusterService } from '../services/cluster-service.ts'
import type { Services } from '../services/contracts.ts'
import { createEventService } from '../services/event-service.ts'
import { createHostService } from '../services/host-service.ts'
import { createPoolService } from '../services/pool-service.ts'
import { createVolumeService } from '../services/volume-service.ts'
import type { AcmeChallenges } from './acme.ts'
import { composeBase } from './compose-base.ts'
import { composeCertificates } from './compose-certificates.ts'
import { composeDomains } from './compose-domains.ts'
import { composeMigration } from './compose-migration.ts'
import { composeImages } from './compose-images.ts'
import { type Session, composeSession } from './compose-session.ts'
import type { Config } from './config-schema.ts'
import { USER_AGENT, VERSION } from './version.ts'

/** The whole agent without its listeners. */
export interface Agent {
  readonly services: Services
  /** What TLS listeners show; in use once `load` has resolved. */
  readonly certificate: TlsSource
  /** What the listener for redirects answers besides. */
  readonly challenges: AcmeChallenges
  /** Reads what earlier runs left, so that every question about it can be answered. Before the listeners open. */
  load(): Promise<void>
  /** Takes up interrupted work; the agent is ready when this resolves. After the listeners opened; ends early, without an error, when `signal` fires. */
  recover(signal: AbortSignal): Promise<void>
  /** Waits until every pool was looked at once, at most 30 s; readiness does not depend on it. Ends early when `signal` fires. */
  firstLook(signal: AbortSignal): Promise<void>
  /** Starts the link to the control plane of the configuration or of an earlier join, if there is one, and lets later joins start theirs. After the listeners opened. */
  startLink(): void
  /** Lets short work end within `graceMs` and interrupts the rest; guests and mounts stay as they are. */
  stop(graceMs: number): Promise<void>
}

const FIRST_LOOK_TIMEOUT_MS = 30_000

/** Builds the agent: here and in the files compose-* concrete classes are named, nowhere else. Reads the agent's id; touches nothing else. */
export async function compose(config: Config, log: Logger): Promise<Agent> {
  const base = await composeBase(config, log)
  const { client, domains, environment, files, inspectWorker, operations, pools, store, volumes } = base
  const inventory = createInventory({
    ...(config.node.hostname === undefined ? {} : { hostname: config.node.hostname }),
    ...(config.node.management_ip === undefined ? {} : { managementIp: config.node.management_ip }),
  })
  const telemetry = startTelemetry({ log })
  const hypervisor = new HypervisorStatus(client, log)
  const recovered = Promise.withResolvers<void>()
  const tokens = new JoinTokens({ store: store.collection('join-tokens') })
  const membership: Membership<Session> = new Membership({
    open: (address) =>
      composeSession(address, base, {
        inventory,
        telemetry,
        tellable: images.tellable,
        poolService: services.pools,
        tokens,
        tls: certificates.controlPlaneTls,
        recovered: recovered.promise,
      }),
    configured: config.control_plane.registration_enabled ? config.control_plane.address : undefined,
    heartbeatIntervalSecs: config.control_plane.heartbeat_interval_secs,
    store,
    log,
  })
  const images = composeImages(base, () => membership.session?.imageSync.again() ?? 0)
  const managementAddress = async (signal: AbortSignal) => (await inventory.read(signal)).managementIp
  const vms = composeDomains(base, {
    images: async (signal) => {
      await abortable(images.library.refresh(5_000), signal)
      return images.library.images()
    },
    managementAddress,
  })
  const certificates = composeCertificates(config, inventory, log)
  const { certificate, challenges, acme, enroller } = certificates
  const waiting = new Set(['recovery of interrupted work'])
  const services: Services = {
    ...images.services,
    ...vms.services,
    events: createEventService(base.events),
    migrations: composeMigration(base, vms.deps, managementAddress),
    certificates: certificates.service,
    host: createHostService({
      version: VERSION,
      agentId: base.agentId,
      inventory,
      telemetry,
      io: new HostIoCounters(),
      hypervisor: () => hypervisor.now(),
      controlPlane: () => linkStatus(membership.session?.link.status()),
      waitingFor: () => [...waiting],
    }),
    pools: createPoolService(pools, files, log),
    volumes: createVolumeService({
      pools,
      volumes,
      resizer: vms.resizer,
      findImage: (path, ctx) => findBackingImage(path, vms.deps, ctx),
      attachInfo,
      log,
    }),
    cluster: createClusterService({
      tokens,
      membership,
      inventory,
      hardware: createHardware(createSmartWatch(log)),
      pools: () => pools.list(),
      userAgent: USER_AGENT,
      tls: certificates.controlPlaneTls,
    }),
  }

  return {
    services,
    certificate,
    challenges,
    startLink() {
      acme.start()
      enroller.start()
      membership.start()
    },
    async load() {
      await certificate.start()
      await acme.load()
      await tokens.load()
      await membership.load()
      await base.events.load()
      await operations.load()
      await images.load()
      await vms.ports.load()
      await pools.start()
      await domains.start()
    },
    async recover(signal) {
      await abortable(operations.recover(), signal).catch(ignoreWhen(signal))
      if (signal.aborted) return
      waiting.clear()
      recovered.resolve()
      vms.ports.start()
      vms.leases.start()
      vms.splits.start({ inventory: base.domains, locks: base.locks })
      await vms.autostarter.begin().catch((error: unknown) => {
        log.error({ err: errorText(error) }, 'VMs that are to be started after the boot of this host are not')
      })
      images.library.start(config.images.scan_interval_secs * 1000)
    },
    async firstLook(signal) {
      await pools.observedOnce(AbortSignal.any([signal, AbortSignal.timeout(FIRST_LOOK_TIMEOUT_MS)])).catch(() => {
        if (!signal.aborted) log.warn({}, 'some pools did not answer yet; going on without them')
      })
    },
    async stop(graceMs) {
      acme.stop()
      enroller.stop()
      certificate.stop()
      vms.stop()
      await membership.stop()
      await operations.shutdown(graceMs)
      images.library.stop()
      hypervisor.stop()
      domains.stop()
      pools.stop()
      environment.io.close()
      telemetry.stop()
      inspectWorker.close()
      await client.close()
      await base.events.flush()
    },
  }
}

function linkStatus(status: LinkStatus | undefined): ControlPlaneStatus | undefined {
  return status === undefined ? undefined : { ...status, connected: status.state === 'connected' }
}

// What was interrupted by the stop goes on at the next start.
function ignoreWhen(signal: AbortSignal): (error: unknown) => void {
  return (error) => {
    if (!signal.aborted) throw error
  }
}
