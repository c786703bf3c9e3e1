import { randomUUID } from 'node:crypto'
import { chmod, mkdir, mkdtemp, readdir, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { MIB } from '../../../src/core/bytes.ts'
import { silentLogger, type OpContext } from '../../../src/core/context.ts'
import { KeyedLock } from '../../../src/core/keyed-lock.ts'
import type { CreateVmRequest, DiskSpec, VmSpec } from '../../../src/core/model.ts'
import { VmCreator } from '../../../src/domains/create.ts'
import { VmDeleter } from '../../../src/domains/delete.ts'
import type { DomainDeps } from '../../../src/domains/deps.ts'
import { DomainInventory } from '../../../src/domains/inventory.ts'
import type { LibvirtCalls } from '../../../src/domains/libvirt-domain.ts'
import { MediaProbe } from '../../../src/domains/media-probe.ts'
import { creationPoolUsers, domainPoolUsers } from '../../../src/domains/pool-users.ts'
import { DomainPower } from '../../../src/domains/power.ts'
import { ImageInspector } from '../../../src/images/inspect.ts'
import { LibvirtClient } from '../../../src/libvirt/client.ts'
import { OperationManager } from '../../../src/operations/manager.ts'
import { createMounter } from '../../../src/platform/mounter.ts'
import { openStateStore } from '../../../src/platform/state-store.ts'
import { WorkerProcess } from '../../../src/platform/workers.ts'
import type { VmService } from '../../../src/services/contracts.ts'
import { createVmService } from '../../../src/services/vm-service.ts'
import type { MountPointRecord } from '../../../src/storage/environment.ts'
import { PoolManager } from '../../../src/storage/pool-manager.ts'
import { poolBackends } from '../../../src/storage/registry.ts'
import { StorageIo } from '../../../src/storage/storage-io.ts'
import { MARKER_FILE } from '../../../src/storage/pool-marker.ts'

export const POOL = 'pool-1'

/** The VM side of an agent on a private libvirt and a directory of its own. */
export interface AgentParts {
  readonly base: string
  readonly client: LibvirtClient
  readonly vms: VmService
  readonly inventory: DomainInventory
  readonly operations: OperationManager
  readonly pools: PoolManager
  readonly poolRoot: string
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
  /** Runs around calls of the domain layer that change something or look something up. */
  readonly aroundCall?: (name: string, call: () => Promise<unknown>) => Promise<unknown>
  readonly undoWaitMs?: number
  readonly afterStep?: (name: string) => void
  readonly networks?: Readonly<Record<string, string>>
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
  const environment = {
    io: new StorageIo(log),
    mounter: createMounter(),
    mountPoints: store.collection<MountPointRecord>('mount-points'),
    paths: {
      localPools: path.join(base, 'local'),
      formerLocalPools: [],
      mounts: path.join(base, 'mnt'),
      reserved: [path.join(base, 'state')],
    },
    nodeId: 'test-node',
    log,
  }
  const pools = new PoolManager({ factories: poolBackends(environment), environment, store: store.collection('pools') })
  const worker = new WorkerProcess('storage', 'probe', log)
  const locks = new KeyedLock()
  const operations = new OperationManager(store.collection('operations'), locks, log)
  const around = options.aroundCall
  const calls: LibvirtCalls =
    around === undefined
      ? client
      : { call: ((name, args, how) => around(name, () => client.call(name, args, how))) as LibvirtCalls['call'] }
  const deps: DomainDeps = {
    libvirt: calls,
    pools,
    inspector: new ImageInspector(worker),
    media: new MediaProbe(worker),
    config: {
      agentVersion: 'test',
      stateDir: path.join(base, 'state'),
      defaultPoolId: POOL,
      domainType: 'qemu',
      networks: options.networks ?? { default: 'user' },
      imageRoots: [path.join(base, 'images')],
      tbCacheBytes: 32 * MIB,
    },
  }
  const inventory = new DomainInventory(client, log)
  const power = new DomainPower(client, inventory, locks, log)
  const creator = new VmCreator({
    deps,
    client,
    operations,
    ...(options.afterStep === undefined ? {} : { afterStep: options.afterStep }),
    ...(options.undoWaitMs === undefined ? {} : { undoWaitMs: options.undoWaitMs }),
  })
  const deleter = new VmDeleter({ deps, client, operations })
  pools.addUserSource(domainPoolUsers(inventory))
  pools.addUserSource(creationPoolUsers(operations, POOL))
  await inventory.start()
  await client.ready(within())
  await pools.start()
  await pools.init({ poolId: POOL, kind: 'LOCAL_DIR', options: { path: path.join(base, 'pool') } }, context())
  await operations.load()
  await operations.recover()
  await chmod(path.join(base, 'state'), 0o711)
  return {
    base,
    client,
    inventory,
    operations,
    pools,
    poolRoot: path.join(base, 'pool'),
    vms: createVmService({ inventory, power, creator, deleter, libvirt: client }),
    close: async () => {
      await operations.shutdown(5_000)
      inventory.stop()
      pools.stop()
      worker.close()
      await client.close()
    },
  }
}

/** Removes the base directory. */
export async function removeBase(base: string): Promise<void> {
  await rm(base, { recursive: true, force: true })
}

/** Every file and directory that belongs to some VM: below the pool (less its own bookkeeping) and the state directory. */
export async function vmFiles(agent: Pick<AgentParts, 'base' | 'poolRoot'>): Promise<string[]> {
  const fixed = new Set(['.limiquantix', '.limiquantix/volumes', '.limiquantix/volumes/probe', MARKER_FILE])
  const inPool = (await readdir(agent.poolRoot, { recursive: true })).filter((entry) => !fixed.has(entry))
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
