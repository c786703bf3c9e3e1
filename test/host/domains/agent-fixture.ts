import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, readFile, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { MIB } from '../../../src/core/bytes.ts'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { KeyedLock } from '../../../src/core/keyed-lock.ts'
import type { CreateVmRequest, DiskSpec, VmSpec } from '../../../src/core/model.ts'
import { DiskAttacher } from '../../../src/domains/attach-disk.ts'
import type { AutostarterOptions } from '../../../src/domains/autostart.ts'
import { BackupExports } from '../../../src/domains/backup/backup-exports.ts'
import { BackupCatalog } from '../../../src/domains/backup/backup-catalog.ts'
import { Backups } from '../../../src/domains/backup/backups.ts'
import { VmCreator } from '../../../src/domains/create.ts'
import { VmDeleter } from '../../../src/domains/delete.ts'
import type { DomainDeps } from '../../../src/domains/deps.ts'
import { DETACH_DISK, DETACH_NIC, DeviceDetacher } from '../../../src/domains/detach-device.ts'
import type { RemovalParts } from '../../../src/domains/device-removal.ts'
import { diskCleanupHandler } from '../../../src/domains/disk-cleanup.ts'
import { findBackingImage } from '../../../src/domains/disk-origin.ts'
import { DiskResizer } from '../../../src/domains/disk-resize.ts'
import { DomainInventory } from '../../../src/domains/inventory.ts'
import type { LibvirtCalls } from '../../../src/domains/libvirt-domain.ts'
import { MediaChanger } from '../../../src/domains/media.ts'
import { MediaProbe } from '../../../src/domains/media-probe.ts'
import { creationPoolUsers } from '../../../src/domains/creation-users.ts'
import { DiskMover } from '../../../src/domains/move/disk-mover.ts'
import { NicChanger } from '../../../src/domains/nics.ts'
import { tellSnapshots } from '../../../src/domains/snapshot-events.ts'
import { EventFile } from '../../../src/events/event-file.ts'
import { EventLog } from '../../../src/events/event-log.ts'
import { SnapshotOperations } from '../../../src/domains/snapshot-operations.ts'
import { domainPoolUsers } from '../../../src/domains/pool-users.ts'
import { DomainPower } from '../../../src/domains/power.ts'
import { VmLeases } from '../../../src/domains/vm-leases.ts'
import { VmSplits } from '../../../src/domains/vm-splits.ts'
import { BackupManifests } from '../../../src/storage/backup-manifests.ts'
import { GuestLeases } from '../../../src/storage/guest-leases.ts'
import { PoolOverlays } from '../../../src/storage/pool-overlays.ts'
import { ImageInspector } from '../../../src/images/inspect.ts'
import { LibvirtClient } from '../../../src/libvirt/client.ts'
import { OperationManager } from '../../../src/operations/manager.ts'
import { TEMP_SUFFIX } from '../../../src/platform/files.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import type { SnapshotService, VmDeviceService, VmService } from '../../../src/services/contracts.ts'
import { createSnapshotService } from '../../../src/services/snapshot-service.ts'
import { createVmDeviceService } from '../../../src/services/vm-device-service.ts'
import { createVmService } from '../../../src/services/vm-service.ts'
import type { PoolBackendFactory } from '../../../src/storage/backend.ts'
import type { FindImage } from '../../../src/services/volume-origin.ts'
import type { MountPointRecord } from '../../../src/storage/environment.ts'
import { createGuestSecrets } from '../../../src/storage/guest-secrets.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { createVolumeManager } from '../../../src/storage/volume-manager.ts'
import { MARKER_FILE } from '../../../src/storage/pool-marker.ts'
import { storageEnvironment, storagePaths } from '../../support/storage-environment.ts'
import { until } from '../../support/until.ts'

export const POOL = 'pool-1'

/** The VM side of an agent on a private libvirt and a directory of its own. */
export interface AgentParts {
  readonly base: string
  readonly client: LibvirtClient
  readonly vms: VmService
  readonly devices: VmDeviceService
  readonly snapshots: SnapshotService
  readonly backups: Backups
  readonly exports: BackupExports
  readonly mover: DiskMover
  readonly inventory: DomainInventory
  readonly events: EventLog
  readonly operations: OperationManager
  readonly pools: PoolManager
  readonly locks: KeyedLock
  readonly deps: DomainDeps
  /** Parts of an Autostarter beside those that a test chooses. */
  readonly autostart: Omit<AutostarterOptions, 'readBootId' | 'patienceMs'>
  readonly findImage: FindImage
  readonly poolRoot: string
  /** With `sharedAs`. */
  readonly leases: VmLeases | undefined
  /** StoragePaths.aliases. */
  readonly aliases: string
  /** Ends everything of this process; guests and files stay. */
  close(): Promise<void>
}

/** A signal with a generous deadline, so that a test never hangs silently. */
export function within(seconds = 60): AbortSignal {
  return AbortSignal.timeout(seconds * 1000)
}

/** A context for calls of a test. */
export function context(seconds = 60): OpContext {
  return { signal: within(seconds), log: silentLogger }
}

/** A directory that QEMU's user can reach, with a pool directory in it. */
export async function makeBase(): Promise<string> {
  const base = await mkdtemp(path.join(tmpdir(), 'lqx-vm-'))
  await chmod(base, 0o711)
  await mkdir(path.join(base, 'pool'), { mode: 0o711 })
  await mkdir(path.join(base, 'images'), { mode: 0o755 })
  return base
}

export interface OpenOptions {
  /** Registers more kinds of operations, on pools that are started. */
  readonly beforeRecovery?: (
    parts: Pick<AgentParts, 'deps' | 'client' | 'operations' | 'inventory' | 'pools'>,
  ) => Promise<void>
  /** Runs around calls of the domain layer that change something or look something up. */
  readonly aroundCall?: (name: string, call: () => Promise<unknown>) => Promise<unknown>
  readonly undoWaitMs?: number
  /** RemovalParts.releaseMs. */
  readonly releaseMs?: number
  readonly afterStep?: (name: string) => void
  readonly networks?: Readonly<Record<string, string>>
  /** The agent's id, when the pool is one that several hosts have. */
  readonly sharedAs?: string
  /** VmLeasesOptions.lingerMs, with `sharedAs`. */
  readonly lingerMs?: number
  /** Another directory than `<base>/pool`. */
  readonly poolPath?: string
  /** Beside the directory of images. */
  readonly imageRoots?: readonly string[]
  /** Take the place of the agent's own pool types of their kind. */
  readonly poolTypes?: readonly PoolBackendFactory[]
}

/** Starts the VM side of an agent on `base`: as a fresh process does, recovery included. */
export async function openAgent(base: string, libvirtDir: string, options: OpenOptions = {}): Promise<AgentParts> {
  const log = silentLogger
  const client = new LibvirtClient({
    uri: 'qemu:///system',
    socketPath: path.join(libvirtDir, 'run/libvirt-sock'),
    log,
  })
  const store = openStateStore(path.join(base, 'state/store'), log)
  const environment = storageEnvironment(base, {
    mountPoints: store.collection<MountPointRecord>('mount-points'),
    paths: { ...storagePaths(base), localPools: path.join(base, 'local') },
    guestSecrets: createGuestSecrets(client),
    log,
  })
  const given = options.poolTypes ?? []
  const own = poolBackends(environment).filter(({ kind }) => given.every((other) => other.kind !== kind))
  const pools = new PoolManager({ factories: [...own, ...given], environment, store: store.collection('pools') })
  const worker = new WorkerProcess('storage', 'probe', log)
  const locks = new KeyedLock()
  const operations = new OperationManager(store.collection('operations'), locks, log)
  const around = options.aroundCall
  const calls: LibvirtCalls =
    around === undefined
      ? client
      : { call: ((name, args, how) => around(name, () => client.call(name, args, how))) as LibvirtCalls['call'] }
  const changing = {
    call: calls.call.bind(calls),
    ready: client.ready.bind(client),
    subscribe: client.subscribe.bind(client),
  } as Pick<LibvirtClient, 'call' | 'ready' | 'subscribe'>
  const events = new EventLog(log, new EventFile(path.join(base, 'state/events')))
  await events.load()
  const inventory = new DomainInventory(client, log, events)
  tellSnapshots(operations, inventory, events)
  const leases =
    options.sharedAs === undefined
      ? undefined
      : new VmLeases({
          pools,
          leases: new GuestLeases(environment.io),
          agentId: options.sharedAs,
          host: `${options.sharedAs}.example.org`,
          inventory,
          libvirt: client,
          locks,
          log,
          isShared: () => true,
          ...(options.lingerMs === undefined ? {} : { lingerMs: options.lingerMs }),
        })
  const splits = new VmSplits({ store: store.collection('split-vms'), libvirt: client, log })
  const overlays = new PoolOverlays(pools, environment.io, () => options.sharedAs !== undefined)
  const deps: DomainDeps = {
    overlays,
    splits,
    ...(leases === undefined ? {} : { leases }),
    libvirt: calls,
    pools,
    domains: inventory,
    inspector: new ImageInspector(worker),
    media: new MediaProbe(worker),
    config: {
      agentVersion: 'test',
      stateDir: path.join(base, 'state'),
      defaultPoolId: POOL,
      domainType: 'qemu',
      networks: options.networks ?? { default: 'user' },
      imageRoots: [path.join(base, 'images'), ...(options.imageRoots ?? [])],
      tbCacheBytes: 32 * MIB,
    },
  }
  const power = new DomainPower(client, inventory, locks, log, leases, overlays, splits)
  const creator = new VmCreator({
    deps,
    client,
    operations,
    ...(options.afterStep === undefined ? {} : { afterStep: options.afterStep }),
    ...(options.undoWaitMs === undefined ? {} : { undoWaitMs: options.undoWaitMs }),
  })
  const deleter = new VmDeleter({ deps, client, operations })
  const removal: RemovalParts = {
    client: changing,
    inventory,
    ...(options.releaseMs === undefined ? {} : { releaseMs: options.releaseMs }),
  }
  const snapshots = new SnapshotOperations({
    parts: { deps, client: changing, log },
    operations,
    inventory,
    ...(options.undoWaitMs === undefined ? {} : { undoWaitMs: options.undoWaitMs }),
  })
  const backups = new Backups({
    deps,
    client: changing,
    operations,
    locks,
    catalog: new BackupCatalog({
      pools,
      manifests: new BackupManifests(environment.io),
      remembered: store.collection('backups'),
    }),
    volumes: createVolumeManager(pools),
    log,
    ...(options.afterStep === undefined ? {} : { afterStep: options.afterStep }),
  })
  const exports = new BackupExports({
    deps,
    client: changing,
    operations,
    locks,
    log,
    ...(options.afterStep === undefined ? {} : { afterStep: options.afterStep }),
  })
  const mover = new DiskMover({
    parts: { deps, client: changing, log },
    operations,
    inventory,
    ...(options.afterStep === undefined ? {} : { afterStep: options.afterStep }),
  })
  const attacher = new DiskAttacher({
    deps,
    parts: removal,
    operations,
    ...(options.afterStep === undefined ? {} : { afterStep: options.afterStep }),
    ...(options.undoWaitMs === undefined ? {} : { undoWaitMs: options.undoWaitMs }),
  })
  const diskDetacher = new DeviceDetacher(DETACH_DISK, removal, operations)
  const nicDetacher = new DeviceDetacher(DETACH_NIC, removal, operations)
  operations.register(diskCleanupHandler(deps, removal, locks))
  pools.addUserSource(domainPoolUsers(inventory))
  pools.addUserSource(backups.users, 'contents')
  pools.addUserSource(exports.users)
  pools.addUserSource(mover.users)
  pools.addUserSource(creationPoolUsers(operations, { defaultPoolId: POOL, aliases: environment.paths.aliases }))
  await inventory.start()
  await client.ready(within())
  await pools.start()
  await pools.init(
    { poolId: POOL, kind: 'LOCAL_DIR', options: { path: options.poolPath ?? path.join(base, 'pool') } },
    context(),
  )
  await options.beforeRecovery?.({ deps, client, operations, inventory, pools })
  await operations.load()
  await operations.recover()
  leases?.start()
  splits.start({ inventory, locks })
  await chmod(path.join(base, 'state'), 0o711)
  return {
    base,
    client,
    backups,
    exports,
    mover,
    inventory,
    events,
    operations,
    pools,
    locks,
    deps,
    autostart: { deps, client, inventory, power, operations, boots: store.collection('autostart'), log },
    findImage: (file, ctx) => findBackingImage(file, deps, ctx),
    poolRoot: options.poolPath ?? path.join(base, 'pool'),
    leases,
    aliases: environment.paths.aliases,
    vms: createVmService({ inventory, power, creator, deleter, libvirt: client }),
    snapshots: createSnapshotService(snapshots),
    devices: createVmDeviceService({
      attacher,
      diskDetacher,
      mover,
      resizer: new DiskResizer({
        libvirt: client,
        inventory,
        pools,
        volumes: createVolumeManager(pools),
        locks,
        splits,
      }),
      nics: new NicChanger({ deps, removal, locks, log }),
      nicDetacher,
      libvirt: client,
      media: new MediaChanger({ client: changing, deps, inventory, locks, log }),
    }),
    close: async () => {
      leases?.stop()
      splits.stop()
      await operations.shutdown(5_000)
      inventory.stop()
      pools.stop()
      worker.close()
      await client.close()
      await events.flush()
    },
  }
}

/** Removes the base directory. */
export async function removeBase(base: string): Promise<void> {
  await rm(base, { recursive: true, force: true })
}

/** Deletes every VM of the private libvirt, and ends the agent. */
export async function endAgent(agent: AgentParts): Promise<void> {
  for (const { vmId } of await agent.vms.list(within())) await agent.vms.delete(vmId, within())
  await agent.close()
}

/** Waits until the boot sector of a VM (boot-sector.ts) has printed on its console. */
export async function waitForBoot({ base }: Pick<AgentParts, 'base'>, vmId: string): Promise<void> {
  const log = path.join(base, 'state/vms', vmId, 'console.log')
  await until(async () => (await readFile(log, 'utf8').catch(() => '')).includes('BOOTED'))
}

/** Every file and directory that belongs to some VM: below the pool (less its own bookkeeping) and the state directory. */
export async function vmFiles(agent: Pick<AgentParts, 'base' | 'poolRoot'>): Promise<string[]> {
  const fixed = new Set([
    '.limiquantix',
    '.limiquantix/volumes',
    '.limiquantix/volumes/probe',
    '.limiquantix/leases',
    '.limiquantix/backups',
    MARKER_FILE,
  ])
  // Whether a pool can be written to the agent looks at times of its own.
  const isProbe = (entry: string) => entry.startsWith('.limiquantix/volumes/.') && entry.endsWith(TEMP_SUFFIX)
  const inPool = await until(async () => {
    const entries = (await readdir(agent.poolRoot, { recursive: true })).filter((entry) => !fixed.has(entry))
    return !entries.some(isProbe) && entries
  })
  const inState = await readdir(path.join(agent.base, 'state/vms'), { recursive: true }).catch(() => [])
  return [...inPool.map((entry) => `pool/${entry}`), ...inState.map((entry) => `vms/${entry}`)].sort()
}

/** A new disk of 2 MiB, or an overlay. */
export function newDisk(part: Partial<DiskSpec> = {}): DiskSpec {
  return {
    id: 'root',
    path: '',
    sizeBytes: 2 * MIB,
    bus: 'virtio',
    format: 'qcow2',
    readonly: false,
    bootable: false,
    iopsLimit: 0,
    throughputMbps: 0,
    backingFile: '',
    poolId: POOL,
    ...part,
  }
}

/** A request for a small VM with one disk. */
export function vmRequest(
  part: Partial<Omit<CreateVmRequest, 'spec'>> = {},
  spec: Partial<VmSpec> = {},
): CreateVmRequest {
  const vmId = part.vmId ?? randomUUID()
  return {
    vmId,
    name: `vm-${vmId.slice(0, 8)}`,
    labels: {},
    ...part,
    spec: {
      cpuCores: 1,
      cpuSockets: 0,
      cpuThreadsPerCore: 0,
      memoryBytes: 64 * MIB,
      hugepages: false,
      firmware: 'bios',
      bootOrder: [],
      disks: [newDisk()],
      nics: [],
      cdroms: [],
      guestOs: '',
      ...spec,
    },
  }
}
