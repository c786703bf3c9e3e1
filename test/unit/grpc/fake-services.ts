import { AgentError } from '../../../src/core/errors.ts'
import type {
  CreateVmRequest,
  DownloadJob,
  DownloadRequest,
  HostFacts,
  NodeEvent,
  PoolConfig,
  PoolFile,
  PoolInfo,
  VmInfo,
} from '../../../src/core/model.ts'
import type {
  GuestCommand,
  HostService,
  ImageService,
  PoolService,
  Services,
  VmService,
} from '../../../src/services/contracts.ts'

export const VM_ID = '11111111-2222-4333-8444-555555555555'
export const NOW = 1_700_000_000_123

/** Parts of the services to replace. */
export interface Overrides {
  readonly host?: Partial<HostService>
  readonly vms?: Partial<VmService>
  readonly pools?: Partial<PoolService>
  readonly images?: Partial<ImageService>
}

/** Services in memory that answer with fixed objects and write down what they were asked. */
export interface FakeServices extends Services {
  readonly calls: { readonly method: string; readonly args: readonly unknown[] }[]
}

export function fakeServices(overrides: Overrides = {}): FakeServices {
  const calls: FakeServices['calls'] = []
  const note =
    <A extends unknown[], R>(method: string, answer: (...args: A) => R) =>
    (...args: A): R => {
      calls.push({ method, args: args.filter((arg) => !(arg instanceof AbortSignal)) })
      return answer(...args)
    }
  const done = (method: string) => note(method, async () => undefined)
  return {
    calls,
    host: {
      health: () => ({
        healthy: true,
        version: '0.1.0',
        hypervisor: 'libvirt/QEMU',
        hypervisorVersion: '9.0.0',
        uptimeSeconds: 12,
      }),
      facts: async () => hostFacts,
      hypervisor: () => ({
        name: 'libvirt/QEMU',
        version: '9.0.0',
        qemuVersion: '7.2.0',
        connected: true,
        maxVcpus: 288,
        kvm: false,
      }),
      controlPlane: () => undefined,
      load: () => ({
        observedAt: NOW,
        cpuUsagePercent: 3.5,
        memoryUsedBytes: 5,
        memoryTotalBytes: 9,
        load1: 0.1,
        load5: 0.2,
        load15: 0.3,
      }),
      nodeId: () => '99999999-2222-4333-8444-555555555555',
      readiness: () => ({ ready: true, waitingFor: [] }),
      ...overrides.host,
    },
    vms: {
      create: note('create', async (request: CreateVmRequest) => ({ vmId: request.vmId, created: true })),
      start: done('start'),
      stop: note('stop', async (_vmId: string, _seconds: number) => undefined),
      forceStop: done('forceStop'),
      reboot: done('reboot'),
      pause: done('pause'),
      resume: done('resume'),
      delete: done('delete'),
      status: note('status', async (vmId: string) => {
        if (vmId !== VM_ID) throw new AgentError('VM_NOT_FOUND', `VM not found: ${vmId}`)
        return vmInfo
      }),
      list: note('list', async () => [vmInfo]),
      events: (signal) => untilAborted([vmEvent], signal),
      guestPing: note('guestPing', async (_vmId: string) => ({ available: true })),
      guestExec: note('guestExec', async (_vmId: string, command: GuestCommand) => ({
        exitCode: command.command === 'false' ? 1 : 0,
        stdout: 'out',
        stderr: '',
        timedOut: false,
      })),
      ...overrides.vms,
    },
    pools: {
      init: note('init', async (config: PoolConfig) => ({ ...poolInfo, config })),
      destroy: note('destroy', async (_poolId: string) => undefined),
      info: note('info', async (poolId: string) => {
        if (poolId !== 'pool-1') throw new AgentError('POOL_NOT_FOUND', `pool ${poolId} not found on this host`)
        return poolInfo
      }),
      list: note('list', async () => [poolInfo]),
      files: note('files', async (_poolId: string, _path: string) => poolFiles),
      ...overrides.pools,
    },
    images: {
      download: note('download', async (request: DownloadRequest) => ({ ...job, ...request, jobId: 'job-1' })),
      job: note('job', (jobId: string) => {
        if (jobId !== 'job-1') throw new AgentError('JOB_NOT_FOUND', `no job ${jobId}`)
        return job
      }),
      jobs: () => [job],
      cancel: note('cancel', async (_jobId: string) => undefined),
      async *watch() {
        yield job
        yield { ...job, state: 'completed', phase: 'done', percent: 100, bytesDone: 1000, finishedAt: NOW }
      },
      ...overrides.images,
    },
  }
}

/** The items, then nothing until the signal fires. */
export async function* untilAborted<T>(items: readonly T[], signal: AbortSignal): AsyncGenerator<T> {
  yield* items
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

export const vmInfo: VmInfo = {
  vmId: VM_ID,
  name: 'web-1',
  state: 'RUNNING',
  managed: true,
  cpuCount: 2,
  memoryBytes: 512 * 1024 * 1024,
  labels: { env: 'test' },
  disks: [
    {
      id: 'root',
      path: '/pool/root.qcow2',
      targetDev: 'vda',
      bus: 'virtio',
      format: 'qcow2',
      sizeBytes: 3 * 1024 ** 3 + 1,
      readonly: false,
      bootable: true,
    },
  ],
  usage: {
    observedAt: NOW,
    cpuUsagePercent: 12.5,
    cpuTimeNs: 123.7,
    memoryUsedBytes: 100,
    memoryTotalBytes: 200,
    diskReadBytes: 1,
    diskWriteBytes: 2,
    networkRxBytes: 3,
    networkTxBytes: 4,
  },
  startedAt: NOW,
  observedAt: NOW,
}

export const vmEvent: NodeEvent = {
  id: 'e1',
  timestamp: NOW,
  type: 'VM_STARTED',
  vmId: VM_ID,
  message: 'started',
  metadata: { cause: 'request' },
}

export const poolInfo: PoolInfo = {
  config: { poolId: 'pool-1', kind: 'LOCAL_DIR', options: { path: '/pool' } },
  mountPath: '/pool',
  devicePath: '',
  rbdPool: '',
  observation: {
    health: 'DEGRADED',
    reason: 'POOL_FULL',
    message: '1 % free',
    totalBytes: 1000,
    usedBytes: 990,
    availableBytes: 10,
    volumeCount: 3,
    observedAt: NOW,
    probeLatencyMs: 1.5,
  },
}

export const poolFiles: PoolFile[] = [
  {
    name: 'iso',
    path: 'iso',
    isDirectory: true,
    sizeBytes: 4096,
    modifiedAt: NOW,
    fileType: 'directory',
    permissions: '755',
  },
  {
    name: 'a.qcow2',
    path: 'a.qcow2',
    isDirectory: false,
    sizeBytes: 77,
    modifiedAt: NOW,
    fileType: 'qcow2',
    permissions: '644',
  },
]

export const job: DownloadJob = {
  jobId: 'job-1',
  imageId: 'img-1',
  catalogId: 'debian-12',
  url: 'https://example.org/debian.qcow2',
  poolId: 'pool-1',
  targetPath: '/pool/cloud-images/debian-12.qcow2',
  state: 'running',
  phase: 'downloading',
  percent: 41.9,
  bytesDone: 419,
  bytesTotal: 1000,
  bytesPerSecond: 10.5,
  etaSeconds: 58.1,
  errorMessage: '',
  startedAt: NOW,
}

const hostFacts: HostFacts = {
  hostname: 'host-1',
  managementIp: '192.0.2.1',
  osName: 'Debian GNU/Linux',
  osVersion: '12',
  kernelVersion: '6.1.0',
  cpu: {
    model: 'Test CPU',
    vendor: 'GenuineTest',
    sockets: 1,
    coresPerSocket: 2,
    threadsPerCore: 2,
    totalThreads: 4,
    frequencyMhz: 2400.5,
    features: ['sse2'],
    architecture: 'x86_64',
  },
  memory: { totalBytes: 8_000, availableBytes: 6_000, usedBytes: 2_000, swapTotalBytes: 0, swapUsedBytes: 0 },
  filesystems: [
    { device: '/dev/vda1', mountPoint: '/', filesystem: 'ext4', totalBytes: 100, usedBytes: 40, availableBytes: 60 },
  ],
  nics: [
    {
      name: 'eth0',
      macAddress: '52:54:00:00:00:01',
      ipAddresses: ['192.0.2.1'],
      speedMbps: 1000,
      up: true,
      driver: 'virtio_net',
      mtu: 1500,
    },
  ],
}
