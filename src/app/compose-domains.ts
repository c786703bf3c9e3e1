import { hostname } from 'node:os'
import { ConsoleConnections } from '../consoles/connections.ts'
import { ConsoleTickets } from '../consoles/console-tickets.ts'
import { endConsolesWithVm } from '../consoles/end-with-vm.ts'
import { VncRelays } from '../consoles/vnc-relays.ts'
import { MIB } from '../core/bytes.ts'
import { DiskAttacher } from '../domains/attach-disk.ts'
import { Autostarter } from '../domains/autostart.ts'
import { BackupExports } from '../domains/backup/backup-exports.ts'
import { BackupCatalog } from '../domains/backup/backup-catalog.ts'
import { Backups } from '../domains/backup/backups.ts'
import { VmCreator } from '../domains/create.ts'
import { creationPoolUsers } from '../domains/creation-users.ts'
import { VmDeleter } from '../domains/delete.ts'
import type { DomainDeps } from '../domains/deps.ts'
import { DETACH_DISK, DETACH_NIC, DeviceDetacher } from '../domains/detach-device.ts'
import type { RemovalParts } from '../domains/device-removal.ts'
import { diskCleanupHandler } from '../domains/disk-cleanup.ts'
import { DiskResizer } from '../domains/disk-resize.ts'
import { MediaChanger } from '../domains/media.ts'
import { DiskMover } from '../domains/move/disk-mover.ts'
import { NicChanger } from '../domains/nics.ts'
import { domainPoolUsers } from '../domains/pool-users.ts'
import { VmLeases } from '../domains/vm-leases.ts'
import { VmSplits } from '../domains/vm-splits.ts'
import { DomainPower } from '../domains/power.ts'
import { SnapshotOperations } from '../domains/snapshot-operations.ts'
import { BackupManifests } from '../storage/backup-manifests.ts'
import { GuestLeases } from '../storage/guest-leases.ts'
import { PoolOverlays } from '../storage/pool-overlays.ts'
import { ImageInspector } from '../images/inspect.ts'
import type { LibraryImage } from '../core/model.ts'
import { createAgentIso } from '../services/agent-iso.ts'
import { createBackupService } from '../services/backup-service.ts'
import { createConsoleService } from '../services/console-service.ts'
import { createGuestService } from '../services/guest-service.ts'
import { createSnapshotService } from '../services/snapshot-service.ts'
import { createVmDeviceService } from '../services/vm-device-service.ts'
import { createVmService } from '../services/vm-service.ts'
import { NetworkPorts } from '../network/network-ports.ts'
import { OpenVswitch } from '../network/open-vswitch.ts'
import { createNetworkPortService } from '../services/network-port-service.ts'
import type { Base } from './compose-base.ts'
import { DEFAULT_POOL_ID, withDefaultPool } from './default-pool.ts'
import { VERSION } from './version.ts'

// QEMU's translation cache grows to 1 GiB per emulated guest by itself.
const TB_CACHE_BYTES = 128 * MIB

/** VMs: their definition, life, devices, snapshots, consoles and the inside of their guests. */
export type DomainParts = ReturnType<typeof composeDomains>

/** Builds what has to do with VMs. `images` are those of the library, `managementAddress` that of this host. */
export function composeDomains(
  base: Base,
  {
    images,
    managementAddress,
  }: {
    images: (signal: AbortSignal) => Promise<readonly LibraryImage[]>
    managementAddress: (signal: AbortSignal) => Promise<string>
  },
) {
  const { client, config, domains, inspectWorker, layout, locks, log, operations, pools, store, volumes } = base
  const leases = new VmLeases({
    pools,
    leases: new GuestLeases(base.environment.io),
    agentId: base.agentId,
    host: config.node.hostname ?? hostname(),
    inventory: domains,
    libvirt: client,
    locks,
    log: log.child({ component: 'vm-leases' }),
  })
  const splits = new VmSplits({
    store: store.collection('split-vms'),
    libvirt: client,
    log: log.child({ component: 'vm-splits' }),
  })
  const overlays = new PoolOverlays(pools, base.environment.io)
  const deps: DomainDeps = {
    leases,
    splits,
    overlays,
    libvirt: client,
    pools: withDefaultPool(pools, layout.defaultPool),
    domains,
    inspector: new ImageInspector(inspectWorker),
    media: base.media,
    config: {
      agentVersion: VERSION,
      stateDir: layout.root,
      defaultPoolId: DEFAULT_POOL_ID,
      domainType: config.hypervisor.domain_type,
      networks: config.hypervisor.networks,
      ...(config.hypervisor.emulator === undefined ? {} : { emulator: config.hypervisor.emulator }),
      imageRoots: base.imageRoots,
      tbCacheBytes: TB_CACHE_BYTES,
    },
  }
  const creator = new VmCreator({ deps, client, operations })
  const deleter = new VmDeleter({ deps, client, operations })
  const removal: RemovalParts = { client, inventory: domains }
  const resizer = new DiskResizer({ libvirt: client, inventory: domains, pools, volumes, locks, splits })
  const snapshots = new SnapshotOperations({ parts: { deps, client, log }, operations, inventory: domains })
  const backups = new Backups({
    deps,
    client,
    operations,
    locks,
    catalog: new BackupCatalog({
      pools,
      manifests: new BackupManifests(base.environment.io),
      remembered: base.store.collection('backups'),
    }),
    volumes,
    log,
  })
  const exports = new BackupExports({ deps, client, operations, locks, log })
  const mover = new DiskMover({ parts: { deps, client, log }, operations, inventory: domains })
  const attacher = new DiskAttacher({ deps, parts: removal, operations })
  const diskDetacher = new DeviceDetacher(DETACH_DISK, removal, operations)
  const nicDetacher = new DeviceDetacher(DETACH_NIC, removal, operations)
  operations.register(diskCleanupHandler(deps, removal, locks))
  pools.addUserSource(domainPoolUsers(domains))
  pools.addUserSource(backups.users, 'contents')
  pools.addUserSource(exports.users)
  pools.addUserSource(mover.users)
  pools.addUserSource(creationPoolUsers(operations, { defaultPoolId: DEFAULT_POOL_ID, aliases: layout.poolAliases }))

  const power = new DomainPower(client, domains, locks, log, leases, overlays, splits)
  const autostarter = new Autostarter({
    deps,
    client,
    inventory: domains,
    power,
    operations,
    boots: base.store.collection('autostart'),
    log,
  })

  const [firstPort = 0, lastPort = 0] = config.console.relay_ports.split('-').map(Number)
  const consoles = new ConsoleConnections({ maxTotal: config.console.max_connections })
  endConsolesWithVm(consoles, domains)
  const ports = new NetworkPorts({
    ovs: new OpenVswitch(),
    store: store.collection('network-ports'),
    vms: domains,
    log,
  })
  const devices = createVmDeviceService({
    attacher,
    diskDetacher,
    resizer,
    mover,
    nics: new NicChanger({ deps, removal, locks, log }),
    nicDetacher,
    libvirt: client,
    media: new MediaChanger({ client, deps, inventory: domains, locks, log }),
  })
  return {
    deps,
    resizer,
    autostarter,
    ports,
    leases,
    splits,
    services: {
      networkPorts: createNetworkPortService(ports),
      snapshots: createSnapshotService(snapshots),
      backups: createBackupService(backups, exports),
      vms: createVmService({
        inventory: domains,
        power,
        creator,
        deleter,
        libvirt: client,
      }),
      devices,
      guests: {
        ...createGuestService({
          inventory: domains,
          libvirt: client,
          logDirectory: config.hypervisor.qemu_log_dir,
          log,
        }),
        ...createAgentIso({
          configured: config.hypervisor.agent_iso,
          images,
          inventory: domains,
          devices,
        }),
      },
      consoles: createConsoleService({
        libvirt: client,
        inventory: domains,
        relays: new VncRelays({ firstPort, lastPort, connections: consoles, log }),
        tickets: new ConsoleTickets(),
        connections: consoles,
        managementAddress,
        stateDir: layout.root,
        log,
      }),
    },
    stop() {
      ports.stop()
      leases.stop()
      splits.stop()
      consoles.close()
    },
  }
}
