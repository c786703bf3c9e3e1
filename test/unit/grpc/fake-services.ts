import { PassThrough } from 'node:stream'
import type { HostCounters, VmMetrics } from '../../../src/core/metrics.ts'
import type { VmBackup } from '../../../src/domains/backup/backup-record.ts'
import type { BackupExport } from '../../../src/domains/backup/export-record.ts'
import type { AcmeStatus } from '../../../src/certificates/acme/acme-issuer.ts'
import type { TicketUse } from '../../../src/consoles/console-tickets.ts'
import { AgentError } from '../../../src/core/errors.ts'
import type {
  ConversionRequest,
  CreateVmRequest,
  CreateVolumeRequest,
  DiskSpec,
  DownloadJob,
  DownloadRequest,
  CatalogImage,
  GuestFacts,
  HardwareFacts,
  HostFacts,
  NetworkPort,
  OvsStatus,
  ImageFilter,
  ImageListing,
  Job,
  JobFilter,
  MembershipStatus,
  NicSpec,
  NodeEvent,
  PoolConfig,
  PoolFile,
  PoolFileBatch,
  PoolFileForm,
  PoolFileContent,
  PoolFileQuery,
  MigrationRequest,
  PoolInfo,
  UsedImage,
  VmInfo,
  VmSnapshot,
  Volume,
  VolumeSnapshot,
} from '../../../src/core/model.ts'
import type { MigrationOffer } from '../../../src/domains/migration/messages.ts'
import { BUILTIN_CATALOG } from '../../../src/images/library/catalog.ts'
import { encodeFilesAsRecords } from '../../../src/grpc/pool-file-records.ts'
import { encodeFilesAsJson } from '../../../src/http/pool-file-text.ts'
import type {
  IntakeService,
  CertificateService,
  CertificateStatus,
  ClusterService,
  ConsoleService,
  EventService,
  NetworkPortService,
  NetworkPortWish,
  GuestCommand,
  GuestService,
  HostService,
  ImageService,
  JobService,
  LibraryService,
  MediaChange,
  NicChange,
  PoolService,
  RateService,
  Services,
  SnapshotRequest,
  MigrationService,
  SnapshotService,
  VmDeviceService,
  VmService,
  VolumeService,
} from '../../../src/services/contracts.ts'

export const VM_ID = '11111111-2222-4333-8444-555555555555'
export const NOW = 1_700_000_000_123

/** What the fake guest tells of itself. */
export const guestFacts: GuestFacts = {
  version: '7.2.22',
  capabilities: ['guest-exec', 'guest-ping'],
  hostname: 'web',
  osName: 'Debian GNU/Linux',
  osVersion: '12 (bookworm)',
  kernelVersion: '6.1.0',
  architecture: 'x86_64',
  ipAddresses: ['192.0.2.7'],
  usage: {
    cpuUsagePercent: 12.5,
    memoryTotalBytes: 1000,
    memoryUsedBytes: 400,
    memoryAvailableBytes: 600,
    swapTotalBytes: 0,
    swapUsedBytes: 0,
    loadAvg1: 0.5,
    loadAvg5: 0.25,
    loadAvg15: 0.1,
    disks: [
      { mountPoint: '/', device: 'vda1', filesystem: 'ext4', totalBytes: 200, usedBytes: 50, availableBytes: 150 },
    ],
    processCount: 80,
    uptimeSeconds: 3600,
  },
}

const vmNic = {
  id: 'nic0',
  macAddress: '52:54:00:00:00:01',
  model: 'virtio',
  network: 'default',
  linkUp: true,
  bandwidthMbps: 0,
}

const vmSnapshot: VmSnapshot = {
  id: 'before',
  name: 'before',
  description: 'x',
  createdAt: 1_700_000_000_000,
  vmState: 'RUNNING',
  parentId: '',
  hasMemory: true,
}

const qemuLog = {
  vmName: 'web',
  path: '/var/log/libvirt/qemu/web.log',
  sizeBytes: 10,
  modifiedAt: 1_700_000_000_123,
  text: 'a\nb\n',
  truncated: false,
}

const guestFile = { isDirectory: false, isSymlink: false, sizeBytes: 5, mode: 0o100644, owner: 'root', group: 'root' }
const guestFiles = [
  { ...guestFile, name: '.hidden', path: '/etc/.hidden', modifiedAt: 1_700_000_000_000 },
  { ...guestFile, name: 'hostname', path: '/etc/hostname', modifiedAt: 1_700_000_000_000 },
]

/** Parts of the services to replace. */
export interface Overrides {
  readonly intake?: Partial<IntakeService>
  readonly certificates?: Partial<CertificateService>
  readonly host?: Partial<HostService>
  readonly vms?: Partial<VmService>
  readonly events?: Partial<EventService>
  readonly devices?: Partial<VmDeviceService>
  readonly snapshots?: Partial<SnapshotService>
  readonly migrations?: Partial<MigrationService>
  readonly guests?: Partial<GuestService>
  readonly consoles?: Partial<ConsoleService>
  readonly networkPorts?: Partial<NetworkPortService>
  readonly pools?: Partial<PoolService>
  readonly volumes?: Partial<VolumeService>
  readonly images?: Partial<ImageService>
  readonly jobs?: Partial<JobService>
  readonly library?: Partial<LibraryService>
  readonly rates?: Partial<RateService>
  readonly cluster?: Partial<ClusterService>
}

const ovsStatus: OvsStatus = {
  available: true,
  problem: '',
  version: '3.1.0',
  integrationBridge: 'br-int',
  encapType: 'geneve',
  encapIp: '192.0.2.9',
  chassisId: 'host-1',
  ovnConnected: true,
}
const networkPort: NetworkPort = {
  portId: 'port-1',
  vmId: '0f5d0a52-3d39-4d3c-9d3d-0d7c1f6a2b10',
  networkId: 'net-1',
  macAddress: '52:54:00:aa:bb:01',
  ipAddresses: ['192.0.2.10'],
  ovnPortName: '',
  rates: { ingressKbps: 0, ingressBurstKb: 0, egressKbps: 0, egressBurstKb: 0 },
  phase: 'ACTIVE',
  error: '',
  bridge: 'br-int',
  ovsPortName: 'vnet0',
  rxBytes: 1,
  txBytes: 2,
  rxPackets: 3,
  txPackets: 4,
}

/** Services in memory that answer with fixed objects and write down what they were asked. */
export interface FakeServices extends Services {
  readonly calls: { readonly method: string; readonly args: readonly unknown[] }[]
}

const uploadState = { uploadId: 'upload-1', targetPath: '/pool/x.qcow2', offset: 0, totalBytes: 10 }

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
      counters: async () => hostCounters,
      nodeId: () => '99999999-2222-4333-8444-555555555555',
      readiness: () => ({ ready: true, waitingFor: [] }),
      ...overrides.host,
    },
    rates: {
      limits: () => ({ hostBytesPerSecond: 0, pools: {} }),
      setLimits: done('setLimits'),
      limitJob: note('limitJob', async (_jobId: string, _bytesPerSecond: number) => undefined),
      ...overrides.rates,
    },
    vms: {
      create: note('create', async (request: CreateVmRequest) => ({ vmId: request.vmId, created: true })),
      start: done('start'),
      stop: note('stop', async (_vmId: string, _seconds: number) => undefined),
      forceStop: done('forceStop'),
      reboot: done('reboot'),
      reset: done('reset'),
      save: done('save'),
      isSaved: note('isSaved', async (_vmId: string) => false),
      dropSaved: done('dropSaved'),
      setAutostart: note('setAutostart', async (_vmId: string, _enabled: boolean) => undefined),
      pause: done('pause'),
      resume: done('resume'),
      delete: done('delete'),
      status: note('status', async (vmId: string) => {
        if (vmId !== VM_ID) throw new AgentError('VM_NOT_FOUND', `VM not found: ${vmId}`)
        return vmInfo
      }),
      list: note('list', async () => [vmInfo]),
      states: () => [vmInfo.state],
      metrics: note('metrics', async () => [vmMetrics]),
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
    events: {
      list: note('listEvents', (_filter: object, _limit: number, _after?: number) => [vmEvent]),
      read: (signal) => untilAborted([vmEvent], signal),
      ...overrides.events,
    },
    consoles: {
      open: note('open', async (_vmId: string, _caller: string | undefined) => ({
        type: 'vnc' as const,
        host: '192.0.2.9',
        port: 15_900,
        password: '',
      })),
      issueTicket: note('issueTicket', async (_use: TicketUse) => ({
        ticket: 'id.secret',
        lifeMs: 30_000,
        password: '',
      })),
      connect: note('connect', async (_vmId: string, _ticket: string) => ({
        kind: 'serial' as const,
        stream: new PassThrough(),
      })),
      log: note('consoleLog', async (_vmId: string, lines: number) => ({ ...qemuLog, lines: Math.min(lines, 2) })),
      ...overrides.consoles,
    },
    networkPorts: {
      ovs: note('ovs', async () => ovsStatus),
      configure: note('configurePort', async (_wish: NetworkPortWish) => networkPort),
      delete: note('deletePort', async (_portId: string, _vmId: string) => undefined),
      get: note('getPort', async (_portId: string) => networkPort),
      list: note('listPorts', async () => [networkPort]),
      interfaceXml: () => '<interface/>',
      ...overrides.networkPorts,
    },
    backups: {
      list: note('listVmBackups', async (_vmId: string | undefined) => ({
        backups: [{ ...vmBackup, state: 'whole' as const }],
        damaged: [{ vmId: vmBackup.vmId, name: 'lost', poolId: 'pool-1', problem: 'it has no manifest' }],
      })),
      create: note('createVmBackup', async (_vmId: string, { name }: { name: string }) => ({ jobId: 'job-1', name })),
      restore: note('restoreVmBackup', async (_vmId: string, _name: string) => ({ jobId: 'job-1' })),
      delete: note('deleteVmBackup', async (_vmId: string, _name: string) => undefined),
      listExports: note('listVmExports', async (_vmId: string) => [vmExport]),
      openExport: note('openVmExport', async (_vmId: string) => vmExport),
      endExport: note('endVmExport', async (_vmId: string, _name: string, _complete: boolean) => undefined),
      forgetExport: note('forgetVmExport', async (_vmId: string, _name: string) => undefined),
    },
    snapshots: {
      list: note('listVmSnapshots', async (_vmId: string) => [vmSnapshot]),
      create: note('createVmSnapshot', async (_vmId: string, request: SnapshotRequest) => ({
        ...vmSnapshot,
        ...request,
      })),
      revert: note('revertVmSnapshot', async (_vmId: string, _snapshotId: string) => undefined),
      delete: note('deleteVmSnapshot', async (_vmId: string, _snapshotId: string) => undefined),
      ...overrides.snapshots,
    },
    migrations: {
      announce: note('announceMigration', async (vmId: string) => ({
        token: 'token',
        vmId,
        expiresAt: 1_700_000_000_000,
      })),
      receive: note('receiveMigration', (_token: string, _vmId: string) => undefined),
      check: note('checkMigration', async (_request: MigrationRequest) => ['it has snapshots']),
      start: note('startMigration', async (_request: MigrationRequest) => ({ jobId: 'job-1' })),
      watch: async function* (jobId: string) {
        calls.push({ method: 'watchMigration', args: [jobId] })
        const common = { vmId: vmInfo.vmId, jobId, bytesDone: 10, bytesRemaining: 0, error: '' }
        yield { ...common, phase: 'TRANSFERRING' as const, percent: 50 }
        yield { ...common, phase: 'COMPLETE' as const, percent: 100 }
      },
      target: {
        check: note('checkIncoming', async (_offer: MigrationOffer) => ({
          problems: [],
          copy: [],
          off: false,
          snapshots: 0,
        })),
        open: note('openIncoming', async (_offer: MigrationOffer) => ({
          liveXml: '<a/>',
          configXml: '<a/>',
          copy: [],
        })),
        prepare: note('prepareIncoming', async (_id: string) => ({ uri: 'tcp://192.0.2.1:49152', cookie: '' })),
        alive: note('aliveIncoming', async (_id: string) => true),
        finish: note('finishIncoming', async (_id: string, _vmId: string) => ({
          state: 'cancelled' as const,
          why: 'test',
        })),
      },
      ...overrides.migrations,
    },
    devices: {
      attachDisk: note('attachDisk', async (_vmId: string, _disk: DiskSpec) => undefined),
      detachDisk: note('detachDisk', async (_vmId: string, _disk: string) => undefined),
      resizeDisk: note('resizeDisk', async (_vmId: string, _disk: string, _sizeBytes: number) => undefined),
      moveDisk: note(
        'moveDisk',
        async (
          _vmId: string,
          _disk: string,
          _to: { poolId: string; bytesPerSecond: number; dropCheckpoints: boolean },
        ) => ({
          jobId: 'job-move',
        }),
      ),
      setDiskMark: note('setDiskMark', async (_vmId: string, _disk: string, _bytes: number) => undefined),
      nics: note('nics', async (_vmId: string) => [vmNic]),
      attachNic: note('attachNic', async (_vmId: string, _nic: NicSpec) => vmNic),
      detachNic: note('detachNic', async (_vmId: string, _nic: string) => undefined),
      changeNic: note('changeNic', async (_vmId: string, _nic: string, change: NicChange) => ({ ...vmNic, ...change })),
      changeMedia: note('changeMedia', async (_vmId: string, { device, isoPath }: MediaChange) => ({
        targetDev: device,
        path: isoPath,
      })),
      ...overrides.devices,
    },
    guests: {
      mountAgentIso: note('mountAgentIso', async (vmId: string) => {
        if (vmId !== VM_ID) throw new AgentError('VM_NOT_FOUND', `VM not found: ${vmId}`)
        return { device: 'sdb', isoPath: '/srv/pool/iso/virtio-win.iso' }
      }),
      log: note('log', async (vmId: string, lines: number) => {
        if (vmId !== VM_ID) throw new AgentError('VM_NOT_FOUND', `VM not found: ${vmId}`)
        return { ...qemuLog, lines: Math.min(lines, 2) }
      }),
      facts: note('facts', async (_vmId: string) => guestFacts),
      power: note('power', async (_vmId: string, _what: string) => undefined),
      shell: note('shell', async (_vmId: string, commandLine: string, _timeoutMs: number | undefined) => ({
        exitCode: commandLine === 'false' ? 1 : 0,
        stdout: 'out',
        stderr: '',
        timedOut: false,
      })),
      agentLog: note('agentLog', async (_vmId: string, _lines: number) => ['one', 'two']),
      listFiles: note('listFiles', async (_vmId: string, _path: string) => ({ entries: guestFiles, complete: true })),
      readFile: note('readFile', async (_vmId: string, _path: string) => Buffer.from('hello')),
      ...overrides.guests,
    },
    pools: {
      init: note('init', async (config: PoolConfig) => ({ ...poolInfo, config })),
      destroy: note('destroy', async (_poolId: string) => undefined),
      info: note('info', async (poolId: string) => {
        if (poolId !== 'pool-1') throw new AgentError('POOL_NOT_FOUND', `pool ${poolId} not found on this host`)
        return poolInfo
      }),
      list: note('list', async () => [poolInfo]),
      files: note('files', (_poolId: string, { offset, limit, form }: PoolFileQuery) => {
        const part = poolFiles.slice(offset, limit === undefined ? undefined : offset + limit)
        return oneBatch(poolFiles.length, part, form)
      }),
      openFile: note('openFile', async (_poolId: string, path: string) => {
        if (path !== 'a.txt') throw new AgentError('FILE_NOT_FOUND', `path "${path}" is missing in the pool`)
        return poolContent
      }),
      makeDirectory: note('makeDirectory', async (_poolId: string, path: string) => ({ made: path !== 'iso' })),
      renameFile: note('renameFile', async (_poolId: string, _from: string, _to: string) => undefined),
      deleteFile: note('deleteFile', async (_poolId: string, _path: string) => undefined),
      ...overrides.pools,
    },
    volumes: {
      create: note('createVolume', async (_request: CreateVolumeRequest) => volume),
      list: note('listVolumes', async (_poolId: string) => [{ ...volume, users: ['VM web-1', 'VM web-2'] }]),
      delete: note('deleteVolume', async (_poolId: string, _volumeId: string) => undefined),
      resize: note('resizeVolume', async (_poolId: string, _volumeId: string, _sizeBytes: number) => undefined),
      attachInfo: note('attachInfo', async (_poolId: string, _volumeId: string) => ({
        path: '/pool/data.qcow2',
        diskXml: '<disk/>',
      })),
      createSnapshot: note('createSnapshot', async (_poolId: string, _volumeId: string, _name: string) => snapshot),
      listSnapshots: note('listSnapshots', async (_poolId: string, _volumeId: string) => [snapshot]),
      deleteSnapshot: note('deleteSnapshot', async (_poolId: string, _volumeId: string, _name: string) => undefined),
      ...overrides.volumes,
    },
    images: {
      download: note('download', async (request: DownloadRequest) => ({ ...job, ...request, jobId: 'job-1' })),
      job: note('job', (jobId: string) => {
        if (jobId !== 'job-1') throw new AgentError('JOB_NOT_FOUND', `no job ${jobId}`)
        return job
      }),
      jobs: () => [job],
      catalog: async () => ({
        images: [BUILTIN_CATALOG[0] as CatalogImage],
        problems: [{ file: 'x.json', message: 'no' }],
      }),
      cancel: note('cancel', async (_jobId: string) => undefined),
      async *watch() {
        yield job
        yield { ...job, state: 'completed', phase: 'done', percent: 100, bytesDone: 1000, finishedAt: NOW }
      },
      ...overrides.images,
    },
    library: {
      list: note('listImages', async (_filter: ImageFilter) => imageListing),
      get: note('getImage', async (imageId: string) => {
        if (imageId !== image.id) throw new AgentError('IMAGE_NOT_FOUND', `image ${imageId} is not on this host`)
        return image
      }),
      folders: () => ['/', '/iso'],
      move: note('moveImage', async (_imageId: string, folder: string) => ({ ...image, folder })),
      delete: note('deleteImage', async (_imageId: string) => undefined),
      scan: note('scanImages', async () => imageListing),
      sync: note('syncImages', () => 1),
      ...overrides.library,
    },
    intake: {
      convert: note('convert', async ({ sourcePath, destPath }: ConversionRequest) => ({
        jobId: 'job-1',
        sourcePath,
        destPath,
      })),
      conversion: note('conversion', (jobId: string) => {
        if (jobId !== 'job-1') throw new AgentError('JOB_NOT_FOUND', `job ${jobId} is unknown`)
        return { ...job, sourcePath: '/pool/a.vmdk' }
      }),
      verify: note('verify', async (_path: string) => 'job-1'),
      beginUpload: note('beginUpload', async (_request: DownloadRequest, _total: number | undefined) => uploadState),
      upload: note('upload', async (_uploadId: string) => uploadState),
      writeUpload: note('writeUpload', async (_id: string, _piece: object, body: AsyncIterable<Uint8Array>) => {
        let bytes = 0
        for await (const chunk of body) bytes += chunk.length
        return { ...uploadState, offset: bytes }
      }),
      finishUpload: note('finishUpload', async (_uploadId: string) => job),
      finishedUpload: note('finishedUpload', async (_uploadId: string) => ({ ...job, state: 'completed' as const })),
      discardUpload: note('discardUpload', async (_uploadId: string) => undefined),
      ...overrides.intake,
    },
    jobs: {
      list: note('listJobs', (_filter: JobFilter) => [anyJob]),
      get: note('getJob', (jobId: string) => {
        if (jobId !== 'job-1') throw new AgentError('JOB_NOT_FOUND', `job ${jobId} is unknown`)
        return anyJob
      }),
      cancel: note('cancelJob', async (_jobId: string) => ({ ...anyJob, state: 'cancelled' as const })),
      retry: note('retryJob', async (jobId: string) => ({ ...anyJob, jobId: 'job-2', retryOf: jobId })),
      log: note('jobLog', async (_jobId: string) => ({
        dropped: 0,
        lines: [{ at: NOW, level: 'info', message: 'phase downloading' }],
      })),
      async *watch(_jobId, after) {
        if (after !== 'e.1') yield { id: 'e.1', job: anyJob }
        yield { id: 'end', job: { ...anyJob, state: 'completed', percent: 100, finishedAt: NOW } }
      },
      ...overrides.jobs,
    },
    cluster: {
      createToken: note('createToken', async (_groups: number) => ({ token: JOIN_TOKEN, ...tokenLife })),
      checkToken: note('checkToken', async (token: string) => {
        if (token !== JOIN_TOKEN) throw new AgentError('TOKEN_INVALID', 'this is not the registration token')
        return tokenLife
      }),
      discover: async () => ({ host: hostFacts, hardware, sizes: new Map() }),
      status: () => membership,
      join: note('join', async (_address: string, _clusterName: string) => membership),
      leave: note('leave', async () => membership),
      test: note('testConnection', async (_address: string) => ({ success: true, message: 'fine' })),
      ...overrides.cluster,
    },
    certificates: {
      status: () => certificateStatus,
      install: note('installCertificate', async (_given: object) => certificateStatus),
      trust: note('trustAuthorities', async (_authorities: string) => certificateStatus),
      generate: note('generateCertificate', async (_wish: object) => certificateStatus),
      request: note('requestCertificate', async (_wish: object) => 'a request'),
      enrol: note('enrolCertificate', async (_wish: object) => certificateStatus),
      acme: () => acmeStatus,
      registerAcme: note('registerAcme', async (_email: string) => acmeStatus),
      issueAcme: note('issueAcme', async (_domains: readonly string[]) => certificateStatus),
      ...overrides.certificates,
    },
  }
}

export const JOIN_TOKEN = 'QUANTIX-AAAA-BBBB-CCCC'
const tokenLife = { createdAt: NOW, expiresAt: NOW + 3_600_000, expiresInSeconds: 3600 }

const hardware: HardwareFacts = {
  eccEnabled: true,
  dimmCount: 2,
  disks: [
    {
      name: 'sda',
      model: 'Disk',
      serial: 'S1',
      sizeBytes: 1000,
      type: 'SSD',
      interface: 'sata',
      removable: false,
      smartStatus: 'PASSED',
      partitions: [{ name: 'sda1', mountPoint: '/', filesystem: 'ext4', sizeBytes: 900, usedBytes: 10 }],
    },
  ],
  nfs: [{ mountPoint: '/mnt/a', server: 'nas', exportPath: '/a' }],
  iscsi: [{ targetIqn: 'iqn.x', portal: '192.0.2.1:3260', devicePath: '/dev/sdb', sizeBytes: 5, lun: 1 }],
  adapters: [],
  gpus: [],
}

const vmExport: BackupExport = {
  jobId: 'job-1',
  vmId: '6f1f9d3c-0d8e-4c3a-9d9b-0c0b5f6f2a11',
  name: 'export-1',
  socket: '/var/lib/limiquantix/exports/vm/nbd.sock',
  disks: [{ diskId: 'root', targetDev: 'vda', exportName: 'vda', bitmap: '', sizeBytes: 1024 }],
  checkpoint: 'export-export-1',
  since: '',
  expiresAt: 1_700_000_000_000,
}

const vmBackup: VmBackup = {
  vmId: VM_ID,
  name: 'nightly',
  vmName: 'web-1',
  poolId: 'pool-1',
  createdAt: 1_700_000_000_123,
  parent: '',
  checkpoint: 'backup-nightly',
  disks: [
    {
      diskId: 'root',
      targetDev: 'vda',
      volume: 'backup-vda',
      path: '/pool/backup-vda.qcow2',
      sizeBytes: 1,
      sha256: '0',
    },
  ],
  definition: '<domain/>',
}

export const certificateStatus: CertificateStatus = {
  revocations: [],
  server: undefined,
  enrolment: { server: undefined, nextAttemptAt: undefined, lastError: '' },
  mode: 'self-signed',
  securityMode: 'compat',
  httpsAddress: '0.0.0.0:8443',
  origin: 'self-signed',
  certificate: {
    subject: 'CN=hv-1',
    issuer: 'CN=hv-1',
    serialNumber: '01',
    fingerprint: 'AA:BB',
    notBefore: NOW,
    notAfter: NOW + 86_400_000,
    names: ['hv-1', '127.0.0.1'],
    selfSigned: true,
  },
  authorities: [],
  lastError: '',
}

export const acmeStatus: AcmeStatus = {
  enabled: true,
  domains: ['hv-1.example'],
  email: 'a@example.org',
  directoryUrl: 'https://acme.example/directory',
  accountPath: '/nowhere/account.json',
  autoRenew: true,
  renewBeforeDays: 30,
  accountUrl: undefined,
  issuing: false,
  nextAttemptAt: NOW,
  lastError: '',
}

export const membership: MembershipStatus = {
  origin: 'join',
  controlPlane: 'http://192.0.2.1:8080',
  clusterName: '',
  heartbeatIntervalSecs: 30,
  state: 'connected',
  nodeId: 'node-1',
  lastAckAt: NOW,
  consecutiveFailures: 0,
  lastError: '',
}

/** The items, then nothing until the signal fires. */
export async function* untilAborted<T>(items: readonly T[], signal: AbortSignal): AsyncGenerator<T> {
  yield* items
  await new Promise<void>((resolve) => signal.addEventListener('abort', () => resolve(), { once: true }))
}

/** A listing that fits into one batch. */
export async function* oneBatch(
  total: number,
  files: readonly PoolFile[],
  form: PoolFileForm,
): AsyncGenerator<PoolFileBatch> {
  yield { total, bytes: form === 'json' ? encodeFilesAsJson(files) : encodeFilesAsRecords(files) }
}

const TEXT = 'Hello, range!'

/** A file with the content "Hello, range!", read in pieces of five bytes. */
export const poolContent: PoolFileContent = {
  name: 'a.txt',
  sizeBytes: TEXT.length,
  modifiedAt: NOW,
  version: 'v1',
  async *read(offset, length) {
    for (let at = offset; at < offset + length; at += 5) {
      yield Buffer.from(TEXT.slice(at, Math.min(at + 5, offset + length)))
    }
  },
}
export const volume: Volume = {
  poolId: 'pool-1',
  name: 'data',
  format: 'qcow2',
  virtualSizeBytes: 1024,
  allocatedBytes: 512,
  source: { type: 'file', path: '/pool/data.qcow2', format: 'qcow2' },
}

export const snapshot: VolumeSnapshot = { name: 'monday', createdAt: NOW }

export const hostCounters: HostCounters = {
  observedAt: NOW,
  disks: [
    {
      device: 'sda',
      readBytes: 4096,
      writeBytes: 8192,
      readBytesPerSecond: 100,
      writeBytesPerSecond: 200,
      readsPerSecond: 1.6,
      writesPerSecond: 3,
      busyPercent: 12.5,
    },
  ],
  nics: [
    {
      name: 'eth0',
      rxBytes: 1,
      txBytes: 2,
      rxPackets: 3,
      txPackets: 4,
      rxErrors: 5,
      txErrors: 6,
      rxBytesPerSecond: 7,
      txBytesPerSecond: 8,
    },
  ],
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

/** Counters of vmInfo, whose name here is one that must not break out of a label. */
export const vmMetrics: VmMetrics = {
  vmId: VM_ID,
  name: 'web "1"\\\n} 1',
  state: 'RUNNING',
  vcpus: 2,
  counters: {
    usage: vmInfo.usage!,
    cpuUserNs: 1,
    cpuSystemNs: 2,
    balloonBytes: 300,
    disks: [
      {
        id: 'root',
        device: 'vda',
        poolId: 'pool-1',
        readBytes: 1,
        readRequests: 2,
        readNs: 3e9,
        writeBytes: 4,
        writeRequests: 5,
        writeNs: 6e9,
        flushRequests: 7,
        flushNs: 8e9,
        capacityBytes: 9,
      },
    ],
    nics: [
      {
        id: 'nic0',
        device: 'vnet3',
        rxBytes: 1,
        rxPackets: 2,
        rxErrors: 3,
        rxDropped: 4,
        txBytes: 5,
        txPackets: 6,
        txErrors: 7,
        txDropped: 8,
      },
    ],
    devicesObservedAt: NOW,
  },
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

export const image: UsedImage = {
  id: '66666666-2222-5333-8444-555555555555',
  name: 'debian-12',
  fileName: 'debian-12.qcow2',
  path: '/pool/cloud-images/debian-12.qcow2',
  poolId: 'pool-1',
  relativePath: 'cloud-images/debian-12.qcow2',
  sizeBytes: 1000,
  virtualSizeBytes: 2048,
  format: 'qcow2',
  checksum: `sha256:${'ab'.repeat(32)}`,
  os: {
    family: 'linux',
    distribution: 'debian',
    version: '12',
    architecture: 'x86_64',
    defaultUser: 'debian',
    provisioning: 'cloud-init',
  },
  label: '',
  folder: '/',
  url: 'https://example.org/debian.qcow2',
  modifiedAt: NOW,
  users: ['VM web-1'],
}

export const imageListing: ImageListing = {
  images: [image],
  unseen: [{ place: 'pool-2', reason: 'POOL_UNAVAILABLE', message: 'pool pool-2 does not answer' }],
}

export const anyJob: Job = {
  jobId: 'job-1',
  kind: 'image.download',
  subject: 'image debian-12.qcow2',
  resources: ['image:/pool/cloud-images/debian-12.qcow2', 'pool:pool-1'],
  state: 'running',
  phase: 'downloading',
  percent: 41.9,
  bytesDone: 419,
  bytesTotal: 1000,
  bytesPerSecond: 10.5,
  etaSeconds: 58.1,
  details: { url: 'https://example.org/debian.qcow2' },
  canRetry: false,
  createdAt: NOW,
  startedAt: NOW,
}

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
