import type { Logger } from '../core/context.ts'
import type { ControlPlaneStatus } from '../core/model.ts'
import { abortable, KeyedLock } from '../core/keyed-lock.ts'
import { MIB } from '../core/bytes.ts'
import { createControlPlaneLink, type ControlPlaneLink, type LinkStatus } from '../controlplane/link.ts'
import { createRegistrar } from '../controlplane/registration.ts'
import { VmCreator } from '../domains/create.ts'
import { VmDeleter } from '../domains/delete.ts'
import type { DomainDeps } from '../domains/deps.ts'
import { HypervisorStatus } from '../domains/hypervisor-status.ts'
import { DomainInventory } from '../domains/inventory.ts'
import { MediaProbe } from '../domains/media-probe.ts'
import { creationPoolUsers, domainPoolUsers } from '../domains/pool-users.ts'
import { DomainPower } from '../domains/power.ts'
import { createInventory } from '../host/inventory.ts'
import { loadAgentId } from '../host/node-identity.ts'
import { startTelemetry } from '../host/telemetry.ts'
import { ImageDownloads } from '../images/download.ts'
import { ImageInspector } from '../images/inspect.ts'
import { TransferClient } from '../images/transfer-client.ts'
import { LibvirtClient } from '../libvirt/client.ts'
import { OperationManager } from '../operations/manager.ts'
import { createConnectClient } from '../platform/connect-client.ts'
import { createMounter } from '../platform/mounter.ts'
import { openStateStore } from '../platform/state-store.ts'
import { WorkerProcess } from '../platform/workers.ts'
import type { Services } from '../services/contracts.ts'
import { createHostService } from '../services/host-service.ts'
import { createImageService } from '../services/image-service.ts'
import { createPoolService } from '../services/pool-service.ts'
import { createVmService } from '../services/vm-service.ts'
import type { StorageEnvironment } from '../storage/environment.ts'
import { PoolManager } from '../storage/pool-manager.ts'
import { poolBackends } from '../storage/registry.ts'
import { StorageIo } from '../storage/storage-io.ts'
import type { Config } from './config-schema.ts'
import { DEFAULT_POOL_ID, withDefaultPool } from './default-pool.ts'
import { stateLayout } from './layout.ts'
import { VERSION } from './version.ts'

/** The whole agent without its listeners. */
export interface Agent {
  readonly services: Services
  /** Reads what earlier runs left, so that every question about it can be answered. Before the listeners open. */
  load(): Promise<void>
  /** Takes up interrupted work; the agent is ready when this resolves. After the listeners opened; ends early, without an error, when `signal` fires. */
  recover(signal: AbortSignal): Promise<void>
  /** Waits until every pool was looked at once, at most 30 s; readiness does not depend on it. Ends early when `signal` fires. */
  firstLook(signal: AbortSignal): Promise<void>
  /** Present when the configuration names a control plane to register at. */
  readonly link: ControlPlaneLink | undefined
  /** Lets short work end within `graceMs` and interrupts the rest; guests and mounts stay as they are. */
  stop(graceMs: number): Promise<void>
}

// QEMU's translation cache grows to 1 GiB per emulated guest by itself.
const TB_CACHE_BYTES = 128 * MIB
const FIRST_LOOK_TIMEOUT_MS = 30_000

/** Builds the agent: the only place that names concrete classes. Reads the agent's id; touches nothing else. */
export async function compose(config: Config, log: Logger): Promise<Agent> {
  const layout = stateLayout(config.paths.state_dir, config.hypervisor.images_path)
  const store = openStateStore(layout.store, log)
  const agentId = await loadAgentId(store, config.node.id)
  const locks = new KeyedLock()
  const operations = new OperationManager(store.collection('operations'), locks, log)
  const imageRoots = [layout.cloudImages, ...config.downloads.allowed_dirs]

  const environment: StorageEnvironment = {
    io: new StorageIo(log),
    mounter: createMounter(),
    mountPoints: store.collection('mount-points'),
    paths: {
      localPools: layout.localPools,
      formerLocalPools: layout.formerLocalPools,
      mounts: layout.mounts,
      reserved: [layout.store, layout.run, layout.vms],
    },
    nodeId: agentId,
    log,
  }
  const pools = new PoolManager({ factories: poolBackends(environment), environment, store: store.collection('pools') })

  const client = new LibvirtClient({ uri: config.hypervisor.libvirt_uri, log })
  const hypervisor = new HypervisorStatus(client, log)
  const domains = new DomainInventory(client, log)
  const inspectWorker = new WorkerProcess('storage', 'inspect', log)
  const deps: DomainDeps = {
    libvirt: client,
    pools: withDefaultPool(pools, layout.defaultPool),
    inspector: new ImageInspector(inspectWorker),
    media: new MediaProbe(inspectWorker),
    config: {
      agentVersion: VERSION,
      stateDir: layout.root,
      defaultPoolId: DEFAULT_POOL_ID,
      domainType: config.hypervisor.domain_type,
      networks: config.hypervisor.networks,
      ...(config.hypervisor.emulator === undefined ? {} : { emulator: config.hypervisor.emulator }),
      imageRoots,
      tbCacheBytes: TB_CACHE_BYTES,
    },
  }
  const creator = new VmCreator({ deps, client, operations })
  const deleter = new VmDeleter({ deps, client, operations })
  pools.addUserSource(domainPoolUsers(domains))
  pools.addUserSource(creationPoolUsers(operations, DEFAULT_POOL_ID))

  const downloadSettings = {
    allowedDirs: imageRoots,
    allowPrivateAddresses: config.downloads.allow_private_addresses,
    stallTimeoutMs: config.downloads.stall_timeout_secs * 1000,
    maxConcurrent: config.downloads.max_concurrent,
  }
  const downloads = new ImageDownloads({
    pools,
    settings: downloadSettings,
    agentVersion: VERSION,
    openClient: (jobId) => new TransferClient(new WorkerProcess('transfer', `download ${jobId}`, log)),
  })
  operations.register(downloads)

  const telemetry = startTelemetry({ log })
  const inventory = createInventory({
    ...(config.node.hostname === undefined ? {} : { hostname: config.node.hostname }),
    ...(config.node.management_ip === undefined ? {} : { managementIp: config.node.management_ip }),
  })
  const link = config.control_plane.registration_enabled ? makeLink() : undefined
  const waiting = new Set(['recovery of interrupted work'])
  const services: Services = {
    host: createHostService({
      version: VERSION,
      agentId,
      inventory,
      telemetry,
      hypervisor: () => hypervisor.now(),
      controlPlane: () => linkStatus(link?.status()),
      waitingFor: () => [...waiting],
    }),
    vms: createVmService({
      inventory: domains,
      power: new DomainPower(client, domains, locks, log),
      creator,
      deleter,
      libvirt: client,
    }),
    pools: createPoolService(pools, log),
    images: createImageService({ operations, pools, downloads, settings: downloadSettings, log }),
  }

  return {
    services,
    link,
    async load() {
      await operations.load()
      await pools.start()
      await domains.start()
    },
    async recover(signal) {
      await abortable(operations.recover(), signal).catch(ignoreWhen(signal))
      if (!signal.aborted) waiting.clear()
    },
    async firstLook(signal) {
      await pools.observedOnce(AbortSignal.any([signal, AbortSignal.timeout(FIRST_LOOK_TIMEOUT_MS)])).catch(() => {
        if (!signal.aborted) log.warn({}, 'some pools did not answer yet; going on without them')
      })
    },
    async stop(graceMs) {
      await link?.stop()
      await operations.shutdown(graceMs)
      hypervisor.stop()
      domains.stop()
      pools.stop()
      environment.io.close()
      telemetry.stop()
      inspectWorker.close()
      await client.close()
    },
  }

  function makeLink(): ControlPlaneLink {
    const connect = createConnectClient({
      baseUrl: config.control_plane.address,
      userAgent: `limiquantix-node/${VERSION}`,
    })
    return createControlPlaneLink({
      client: connect,
      registrar: createRegistrar({
        client: connect,
        store,
        facts: (signal) => inventory.read(signal),
        labels: config.node.labels,
      }),
      source: {
        load: () => telemetry.load(),
        pools: () => pools.list(),
        runningVmCount: () => runningCount(domains),
      },
      intervalMs: config.control_plane.heartbeat_interval_secs * 1000,
      log,
    })
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

// Without libvirt nobody knows; the number is informative only.
function runningCount(domains: DomainInventory): number {
  try {
    return domains.entries().filter(({ state }) => state === 'RUNNING').length
  } catch {
    return 0
  }
}
