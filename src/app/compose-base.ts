import type { Logger } from '../core/context.ts'
import { KeyedLock } from '../core/keyed-lock.ts'
import { DomainInventory } from '../domains/inventory.ts'
import { tellSnapshots } from '../domains/snapshot-events.ts'
import { vmsOnDeadPools } from '../domains/stalled-storage.ts'
import { MediaProbe } from '../domains/media-probe.ts'
import { loadAgentId } from '../host/node-identity.ts'
import { EventFile } from '../events/event-file.ts'
import { EventLog } from '../events/event-log.ts'
import { LibvirtClient } from '../libvirt/client.ts'
import { OperationManager } from '../operations/manager.ts'
import { createMounter } from '../platform/mounter.ts'
import { openStateStore } from '../platform/state-store.ts'
import { WorkerProcess } from '../platform/workers.ts'
import { FileBrowser } from '../storage/browser.ts'
import type { StorageEnvironment } from '../storage/environment.ts'
import { createGuestSecrets } from '../storage/guest-secrets.ts'
import { PoolManager } from '../storage/pool-manager.ts'
import { poolBackends } from '../storage/registry.ts'
import { StorageIo } from '../storage/storage-io.ts'
import { createVolumeManager } from '../storage/volume-manager.ts'
import type { Config } from './config-schema.ts'
import { stateLayout } from './layout.ts'

const DAY_MS = 24 * 60 * 60_000

/** What all parts of the agent stand on: its state, its operations, its connection to libvirt, its pools. */
export type Base = Awaited<ReturnType<typeof composeBase>>

/** Reads the agent's id; touches nothing else. */
export async function composeBase(config: Config, log: Logger) {
  const layout = stateLayout(config.paths.state_dir, config.hypervisor.images_path)
  const store = openStateStore(layout.store, log)
  const agentId = await loadAgentId(store, config.node.id)
  const locks = new KeyedLock()
  const operations = new OperationManager(store.collection('operations'), locks, log, {
    history: { maxCount: config.jobs.history_max_count, maxAgeMs: config.jobs.history_max_age_days * DAY_MS },
    logs: store.collection('operation-logs'),
  })

  const client = new LibvirtClient({ uri: config.hypervisor.libvirt_uri, log })
  const events = new EventLog(log, new EventFile(layout.events))
  const domains = new DomainInventory(client, log, events)
  tellSnapshots(operations, domains, events)
  const environment: StorageEnvironment = {
    io: new StorageIo(log),
    mounter: createMounter(),
    mountPoints: store.collection('mount-points'),
    sessions: store.collection('iscsi-sessions'),
    paths: {
      localPools: layout.localPools,
      formerLocalPools: layout.formerLocalPools,
      mounts: layout.mounts,
      aliases: layout.poolAliases,
      secrets: layout.secrets,
      reserved: [layout.store, layout.run, layout.vms, layout.secrets, layout.staging],
    },
    guestSecrets: createGuestSecrets(client),
    nodeId: agentId,
    log,
  }
  const pools = new PoolManager({
    factories: poolBackends(environment),
    environment,
    store: store.collection('pools'),
    guestPlaces: async (signal) => {
      await domains.listedOnce(signal)
      return domains.entries().flatMap(({ facts }) => facts.paths)
    },
  })

  domains.leaveOutStalled(vmsOnDeadPools(domains, pools))

  const volumes = createVolumeManager(pools)

  /** Looks at images and media. */
  const inspectWorker = new WorkerProcess('storage', 'inspect', log)

  return {
    config,
    log,
    layout,
    store,
    agentId,
    locks,
    operations,
    client,
    events,
    domains,
    environment,
    pools,
    volumes,
    inspectWorker,
    files: new FileBrowser({ pools, io: environment.io, nodeId: agentId }),
    /** Tells ISOs from other files. */
    media: new MediaProbe(inspectWorker),
    /** Directories outside pools whose images, disks and ISOs may be used. */
    imageRoots: [layout.cloudImages, ...config.downloads.allowed_dirs],
  }
}
