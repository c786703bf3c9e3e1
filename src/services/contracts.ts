/**
 * The transport-neutral use cases. gRPC, HTTP and the CLI call only these; errors are AgentErrors. Every method takes the caller's signal: when it fires the
 * caller is gone, which ends waiting and reading but never cancels work that was begun.
 */
import type { Duplex } from 'node:stream'
import type { TicketUse } from '../consoles/console-tickets.ts'
import type {
  CatalogListing,
  ConsoleRelay,
  ConsoleTicket,
  ControlPlaneStatus,
  CreateVmRequest,
  CreateVolumeRequest,
  DiskSpec,
  ConversionRequest,
  DownloadJob,
  DownloadRequest,
  UploadState,
  GuestFacts,
  GuestFile,
  HealthSummary,
  HostDiscovery,
  HostFacts,
  HostLoad,
  HypervisorFacts,
  ImageFilter,
  ImageListing,
  Job,
  JobEvent,
  JobFilter,
  JobLogLine,
  LogTail,
  JoinToken,
  JoinTokenLife,
  MembershipStatus,
  MigrationRequest,
  MigrationState,
  MigrationTicket,
  NetworkPort,
  NetworkPortSpec,
  NicSpec,
  NodeEvent,
  OvsStatus,
  PoolConfig,
  PoolFileBatch,
  PoolFileContent,
  PoolFileQuery,
  PoolInfo,
  PowerState,
  UsedImage,
  UsedVolume,
  VmInfo,
  VmNic,
  VmSnapshot,
  Volume,
  VolumeAttachInfo,
  VolumeSnapshot,
} from '../core/model.ts'
import type { EventFilter } from '../core/events.ts'
import type { HostCounters, VmMetrics } from '../core/metrics.ts'
import type { AcmeStatus } from '../certificates/acme/acme-issuer.ts'
import type { EnrolmentStatus, EnrolmentWish } from '../certificates/enrolment/enroller.ts'
import type { BackupListing } from '../domains/backup/backup-record.ts'
import type { BackupExport } from '../domains/backup/export-record.ts'
import type { BackupMode } from '../domains/backup/plan-backup.ts'
import type { HostCertificateStatus } from '../certificates/host-certificate.ts'
import type { MigrationTarget } from '../domains/migration/messages.ts'
import type { RateLimits } from '../images/rate-shares.ts'

export interface HostService {
  /** From memory, without waiting for anything. */
  health(): HealthSummary
  facts(signal: AbortSignal): Promise<HostFacts>
  hypervisor(): HypervisorFacts
  load(): HostLoad
  /** Disks and interfaces of the host; at most a second old. */
  counters(signal: AbortSignal): Promise<HostCounters>
  /** Undefined when the agent is not to register anywhere. */
  controlPlane(): ControlPlaneStatus | undefined
  /** The agent's persistent id (not the control plane's node id). */
  nodeId(): string
  /** Ready = listeners up, recovery done. Depends on no pool and not on libvirt. `waitingFor` names what is not. */
  readiness(): { ready: boolean; waitingFor: readonly string[] }
}

export interface VmService {
  /** Returns when the VM is defined. The same request again is the same VM (`created: false`). */
  create(request: CreateVmRequest, signal: AbortSignal): Promise<{ vmId: string; created: boolean }>
  /** Success when it is running. VM_RUNS_ELSEWHERE; `takeOver` overrules what is not proved of it. */
  start(vmId: string, signal: AbortSignal, takeOver?: boolean): Promise<void>
  /** ACPI shutdown and wait; VM_STOP_TIMEOUT leaves it running, unless `force` cuts its power then. Success when it is off. */
  stop(vmId: string, timeoutSeconds: number, signal: AbortSignal, force?: boolean): Promise<void>
  forceStop(vmId: string, signal: AbortSignal): Promise<void>
  reboot(vmId: string, signal: AbortSignal): Promise<void>
  /** The reset button: the guest is not asked. */
  reset(vmId: string, signal: AbortSignal): Promise<void>
  /** Keeps the memory of a running VM and ends it; its next start goes on from there. */
  save(vmId: string, signal: AbortSignal): Promise<void>
  isSaved(vmId: string, signal: AbortSignal): Promise<boolean>
  /** Forgets the saved state. */
  dropSaved(vmId: string, signal: AbortSignal): Promise<void>
  /** Whether the VM is started after a boot of the host. VM_NOT_MANAGED. */
  setAutostart(vmId: string, enabled: boolean, signal: AbortSignal): Promise<void>
  pause(vmId: string, signal: AbortSignal): Promise<void>
  resume(vmId: string, signal: AbortSignal): Promise<void>
  /** Powers off, undefines, removes only volumes made for this VM. Success when it is gone. */
  delete(vmId: string, signal: AbortSignal): Promise<void>
  status(vmId: string, signal: AbortSignal): Promise<VmInfo>
  list(signal: AbortSignal): Promise<VmInfo[]>
  /** Power states of all VMs, from memory, without those that are still on their way here. LIBVIRT_UNAVAILABLE. */
  states(): PowerState[]
  /** All VMs with everything that is counted of them; numbers carry their time. LIBVIRT_UNAVAILABLE. */
  metrics(signal: AbortSignal): Promise<VmMetrics[]>
  /** Events from now on until `signal` fires. */
  events(signal: AbortSignal): AsyncIterable<NodeEvent>
  /** Whether the QEMU guest agent answers (GET /vms/:id/qemu-agent/ping); only VM_NOT_FOUND and libvirt trouble are errors. */
  guestPing(vmId: string, signal: AbortSignal): Promise<{ available: boolean; error?: string }>
  /** Runs a program in the guest through the QEMU guest agent and waits for its end (POST /vms/:id/qemu-agent/exec). GUEST_AGENT_UNAVAILABLE. */
  guestExec(vmId: string, command: GuestCommand, signal: AbortSignal): Promise<GuestCommandResult>
}

/** What happened on this host. */
export interface EventService {
  /** The newest that are wanted, at most `limit`, oldest first; with a number, the first ones after it. */
  list(filter: EventFilter, limit: number, after?: number): NodeEvent[]
  /** Events as they happen until `signal` fires, with a number those after it first. */
  read(signal: AbortSignal, after?: number): AsyncIterable<NodeEvent>
}

/** Devices of VMs, changed while they run and for their next start alike, or not at all. Errors of every method: VM_NOT_FOUND, LIBVIRT_*. */
export interface VmDeviceService {
  /**
   * Adds a disk; the volume of a new one goes next to the VM's first disk when it names no pool. The same again is success. VM_NOT_MANAGED, VM_SPEC_INVALID, CONFLICT, HOTPLUG_UNSUPPORTED,
   * POOL_*, BACKING_FILE_*, VOLUME_NOT_FOUND, VOLUME_IN_USE, ABORTED_BY_RESTART.
   */
  attachDisk(vmId: string, disk: DiskSpec, signal: AbortSignal): Promise<void>
  /** Takes a disk out, named by id, name in the domain or volume; its data stay. DISK_NOT_FOUND, DETACH_TIMEOUT and DETACH_REFUSED: the guest keeps it. */
  detachDisk(vmId: string, disk: string, signal: AbortSignal): Promise<void>
  /** Grows a disk, named by id or name in the domain, under a running guest too. DISK_NOT_FOUND, VOLUME_TOO_SMALL instead of shrinking, POOL_*. */
  resizeDisk(vmId: string, disk: string, sizeBytes: number, signal: AbortSignal): Promise<void>
  /**
   * Begins to move a disk, named by id or name in the domain, into another pool, under a running guest too. The job tells its progress and can be cancelled until the guest has switched. The same again is the same job. DISK_NOT_FOUND,
   * VM_NOT_MANAGED, DISK_MOVE_REFUSED naming what is in the way, VM_STATE_CONFLICT, VOLUME_IN_USE, CONFLICT, POOL_*.
   */
  moveDisk(
    vmId: string,
    disk: string,
    to: { readonly poolId: string; readonly bytesPerSecond: number; readonly dropCheckpoints: boolean },
    signal: AbortSignal,
  ): Promise<{ jobId: string }>
  /** Sets a mark on a disk of a running VM: BLOCK_THRESHOLD is told once when the guest writes past that byte of its volume; 0 takes it away. DISK_NOT_FOUND, VM_STATE_CONFLICT. */
  setDiskMark(vmId: string, disk: string, bytes: number, signal: AbortSignal): Promise<void>
  /** As they are in the running guest. */
  nics(vmId: string, signal: AbortSignal): Promise<VmNic[]>
  /** Adds a NIC; the same again is success. VM_NOT_MANAGED, VM_SPEC_INVALID, CONFLICT, NETWORK_UNKNOWN, HOTPLUG_UNSUPPORTED. */
  attachNic(vmId: string, nic: NicSpec, signal: AbortSignal): Promise<VmNic>
  /** Takes a NIC out, named by id or MAC address. NIC_NOT_FOUND, DETACH_TIMEOUT, DETACH_REFUSED. */
  detachNic(vmId: string, nic: string, signal: AbortSignal): Promise<void>
  /** Pulls or plugs its cable, limits it. NIC_NOT_FOUND, VM_SPEC_INVALID. */
  changeNic(vmId: string, nic: string, change: NicChange, signal: AbortSignal): Promise<VmNic>
  /** Puts an ISO into a CD-ROM drive, or takes out what is in it when `isoPath` is empty. CDROM_NOT_FOUND, CDROM_LOCKED, FILE_NOT_FOUND, INVALID_PATH, POOL_*. */
  changeMedia(vmId: string, change: MediaChange, signal: AbortSignal): Promise<{ targetDev: string; path: string }>
}

/** Snapshots of VMs. Errors of every method: VM_NOT_FOUND, LIBVIRT_*. */
export interface SnapshotService {
  /** Oldest first. */
  list(vmId: string, signal: AbortSignal): Promise<VmSnapshot[]>
  /** The same again is the same snapshot. INVALID_NAME, VM_NOT_MANAGED, SNAPSHOT_UNSUPPORTED, CONFLICT, POOL_FULL, DISK_CHAIN_BROKEN, GUEST_*, ABORTED_BY_RESTART. */
  create(vmId: string, request: SnapshotRequest, signal: AbortSignal): Promise<VmSnapshot>
  /** Back to how it was; what was since is lost. SNAPSHOT_NOT_FOUND, SNAPSHOT_UNSUPPORTED, VOLUME_IN_USE when another VM has a disk of then, DISK_CHAIN_BROKEN. */
  revert(vmId: string, snapshotId: string, signal: AbortSignal): Promise<void>
  /** Success when it is gone; later snapshots stay. SNAPSHOT_UNSUPPORTED. */
  delete(vmId: string, snapshotId: string, signal: AbortSignal): Promise<void>
}

/** Backups of VMs in pools. Errors: BACKUP_NOT_FOUND, BACKUP_UNSUPPORTED, BACKUP_DAMAGED, BACKUP_IN_USE, INVALID_NAME, POOL_*, VM_NOT_FOUND, LIBVIRT_*. */
export interface BackupService {
  /** Of a VM, also of one that is gone; of all without `vmId`. */
  list(vmId: string | undefined, signal: AbortSignal): Promise<BackupListing>
  /** Begins one (an empty name is the time); the job's result is a VmBackup. The same name again is the same backup. */
  create(
    vmId: string,
    request: { readonly name: string; readonly poolId: string; readonly mode: BackupMode },
    signal: AbortSignal,
  ): Promise<{ jobId: string; name: string }>
  /** Begins to copy its disks into new volumes `<prefix>-<disk>`; the job fails with BACKUP_DAMAGED when they are not what they were. */
  restore(
    vmId: string,
    name: string,
    to: { readonly poolId: string; readonly prefix: string },
    signal: AbortSignal,
  ): Promise<{ jobId: string }>
  /** Success when it is gone. */
  delete(vmId: string, name: string, signal: AbortSignal): Promise<void>
  /** The exports of a VM that are open. */
  listExports(vmId: string): Promise<BackupExport[]>
  /** Opens one (an empty name is the time) on a UNIX socket of this host. The same name while it is open is that one. CONFLICT, VM_STATE_CONFLICT. */
  openExport(vmId: string, request: OpenExportRequest, signal: AbortSignal): Promise<BackupExport>
  /** Ends one, with `complete` when all of it was read; success when it had ended so. BACKUP_EXPORT_NOT_FOUND, BACKUP_EXPORT_ENDED. */
  endExport(vmId: string, name: string, complete: boolean, signal: AbortSignal): Promise<void>
  /** Forgets the checkpoint that a complete one left in the VM; success when there is none. CONFLICT while an export or a backup is under way. */
  forgetExport(vmId: string, name: string, signal: AbortSignal): Promise<void>
}

/** Which export; empty texts and 0 are defaults. */
export interface OpenExportRequest {
  readonly name: string
  /** Pool of files for what the guest overwrites meanwhile; default: that of its first disk. */
  readonly poolId: string
  readonly mode: BackupMode
  /** Checkpoint since which changes are told. */
  readonly since: string
  readonly lifetimeSeconds: number
}

export interface SnapshotRequest {
  readonly name: string
  readonly description: string
  /** Has the guest write everything out and stand still, where its memory is not kept. */
  readonly quiesce?: boolean
  /** Of a running VM: true also keeps its memory, or nothing is kept; false its disks alone; undefined as it can be. */
  readonly includeMemory: boolean | undefined
}

/** What is to change of a NIC; what is absent stays. */
export interface NicChange {
  readonly linkUp?: boolean
  /** Megabits (10^6) per second in each direction; 0 = unlimited. */
  readonly bandwidthMbps?: number
}

/** What is to be in a CD-ROM drive. An empty `device` is the first drive without a medium, else the first one. */
export interface MediaChange {
  /** Id or target name of the drive. */
  readonly device: string
  /** Absolute, or relative to a pool or a directory of images; empty = eject. */
  readonly isoPath: string
  /** False: a tray that the guest has locked stays shut. */
  readonly force?: boolean
}

/** A program in the guest: absolute path or name on the agent's PATH, arguments without a shell. */
export interface GuestCommand {
  readonly command: string
  readonly args: readonly string[]
  readonly timeoutMs: number
}

/** How a guest program ended. `timedOut`: it was still running at the deadline (it goes on in the guest). */
export interface GuestCommandResult {
  readonly exitCode: number
  readonly stdout: string
  readonly stderr: string
  readonly timedOut: boolean
  /** Some output is missing at its end. */
  readonly truncated?: boolean
}

/**
 * Insides of VMs, through the QEMU guest agent: what it answers is the guest's claim. Errors of every method: VM_NOT_FOUND, LIBVIRT_*, and what only concerns the guest:
 * GUEST_AGENT_UNAVAILABLE, GUEST_AGENT_REFUSED, DEADLINE_EXCEEDED.
 */
export interface GuestService {
  /** The end of QEMU's log. LOG_UNREADABLE. */
  log(vmId: string, lines: number, signal: AbortSignal): Promise<LogTail & { readonly vmName: string }>
  facts(vmId: string, signal: AbortSignal): Promise<GuestFacts>
  /** Asks the guest to shut down or reboot; success when it took that up. */
  power(vmId: string, what: 'shutdown' | 'reboot', signal: AbortSignal): Promise<void>
  /** Runs a command line in the guest's own shell. Without `timeoutMs` it is started and forgotten. */
  shell(
    vmId: string,
    commandLine: string,
    timeoutMs: number | undefined,
    signal: AbortSignal,
  ): Promise<GuestCommandResult>
  /** What the guest's agent has logged, oldest first. */
  agentLog(vmId: string, lines: number, signal: AbortSignal): Promise<string[]>
  /** One directory, by name; `complete` is false when it has more entries than one answer carries. */
  listFiles(vmId: string, path: string, signal: AbortSignal): Promise<{ entries: GuestFile[]; complete: boolean }>
  readFile(vmId: string, path: string, signal: AbortSignal): Promise<Buffer>
  /** Puts the ISO with guest agents into a CD-ROM drive; once more is success. AGENT_ISO_MISSING, and the errors of VmDeviceService.changeMedia. */
  mountAgentIso(vmId: string, signal: AbortSignal): Promise<{ device: string; isoPath: string }>
}

export interface PoolService {
  /** Activates and persists; the same again is success. */
  init(config: PoolConfig, signal: AbortSignal): Promise<PoolInfo>
  /** POOL_IN_USE with the users while domains or jobs use it. */
  destroy(poolId: string, signal: AbortSignal): Promise<void>
  info(poolId: string, signal: AbortSignal): Promise<PoolInfo>
  list(signal: AbortSignal): Promise<PoolInfo[]>
  /** One directory or a part of it, in at least one batch; directories first. A pool that does not answer is an error, never an empty list. */
  files(poolId: string, query: PoolFileQuery, signal: AbortSignal): AsyncIterable<PoolFileBatch>
  /** A regular file to be read, as long as `signal` does not fire. */
  openFile(poolId: string, path: string, signal: AbortSignal): Promise<PoolFileContent>
  /** `made: false` when it was there. */
  makeDirectory(poolId: string, path: string, signal: AbortSignal): Promise<{ made: boolean }>
  /** Renames or moves within the pool; never replaces anything. FILE_IN_USE with the users. */
  renameFile(poolId: string, from: string, to: string, signal: AbortSignal): Promise<void>
  /** A file, link or empty directory; success when it is gone. FILE_IN_USE with the users. */
  deleteFile(poolId: string, path: string, signal: AbortSignal): Promise<void>
}

export interface VolumeService {
  /** The same request again is the same volume. VOLUME_CONFLICT, POOL_FULL, VOLUME_IN_USE for a clone of what a running VM writes to. */
  create(request: CreateVolumeRequest, signal: AbortSignal): Promise<Volume>
  list(poolId: string, signal: AbortSignal): Promise<UsedVolume[]>
  /** Success when it is gone; VOLUME_IN_USE with the users. */
  delete(poolId: string, volumeId: string, signal: AbortSignal): Promise<void>
  /**
   * Grows a volume, under a running VM too. With the pool `default` or none, `volumeId` is the id of a disk of a VM that the agent made; DISK_AMBIGUOUS when several have it.
   * VOLUME_TOO_SMALL instead of shrinking.
   */
  resize(poolId: string, volumeId: string, sizeBytes: number, signal: AbortSignal): Promise<void>
  attachInfo(poolId: string, volumeId: string, signal: AbortSignal): Promise<VolumeAttachInfo>
  /** SNAPSHOT_UNSUPPORTED, VOLUME_IN_USE while a running VM has the volume. */
  createSnapshot(poolId: string, volumeId: string, snapshotId: string, signal: AbortSignal): Promise<VolumeSnapshot>
  /** Oldest first. */
  listSnapshots(poolId: string, volumeId: string, signal: AbortSignal): Promise<VolumeSnapshot[]>
  deleteSnapshot(poolId: string, volumeId: string, snapshotId: string, signal: AbortSignal): Promise<void>
}

export interface ImageService {
  /** The job is persisted when this resolves; a verified image in its place gives a completed job. */
  download(request: DownloadRequest, signal: AbortSignal): Promise<DownloadJob>
  /** The images that a download can name by their id alone. */
  catalog(signal: AbortSignal): Promise<CatalogListing>
  /** JOB_NOT_FOUND for an unknown id. */
  job(jobId: string): DownloadJob
  jobs(): DownloadJob[]
  cancel(jobId: string, signal: AbortSignal): Promise<void>
  /** The job now and at every change until it is final. */
  watch(jobId: string, signal: AbortSignal): AsyncIterable<DownloadJob>
}

/** Images that come from this host or from the caller itself, proven and judged like downloads. */
export interface IntakeService {
  /** Begins the conversion of a local file. Errors: SOURCE_NOT_FOUND, SOURCE_REFUSED, TARGET_REFUSED, those of a download. */
  convert(
    request: ConversionRequest,
    signal: AbortSignal,
  ): Promise<{ readonly jobId: string; readonly sourcePath: string; readonly destPath: string }>
  /** JOB_NOT_FOUND for an unknown id. */
  conversion(jobId: string): DownloadJob & { readonly sourcePath: string }
  /** Begins the full check of an image against its manifest; the id of the job. SOURCE_REFUSED for a path that is in no known place. */
  verify(path: string, signal: AbortSignal): Promise<string>
  /** `subdir` is below the pool, or the images without one, when there is no targetDir. Errors: those of a download that concern its target and proof. */
  beginUpload(
    request: DownloadRequest & { readonly subdir: string },
    totalBytes: number | undefined,
    signal: AbortSignal,
  ): Promise<UploadState>
  /** UPLOAD_NOT_FOUND when it is unknown, finished or given up. */
  upload(uploadId: string): Promise<UploadState>
  /** Takes bytes from `offset` on; what came is kept also when the body breaks off. UPLOAD_OFFSET when it is not where the last piece ended. */
  writeUpload(
    uploadId: string,
    piece: { readonly offset: number; readonly totalBytes?: number },
    body: AsyncIterable<Uint8Array>,
    signal: AbortSignal,
  ): Promise<UploadState>
  /** Begins the job that makes an image of it, under the same id. UPLOAD_INCOMPLETE. */
  finishUpload(uploadId: string, signal: AbortSignal): Promise<DownloadJob>
  /** That job when it has ended. */
  finishedUpload(uploadId: string, signal: AbortSignal): Promise<DownloadJob>
  /** Success when it is gone. */
  discardUpload(uploadId: string, signal: AbortSignal): Promise<void>
}

/** Long work of every kind. JOB_NOT_FOUND for an unknown id. */
export interface JobService {
  /** Newest first. */
  list(filter: JobFilter): Job[]
  get(jobId: string): Job
  /** Resolves when it has ended. JOB_FINISHED when it had before. */
  cancel(jobId: string, signal: AbortSignal): Promise<Job>
  /** A failed or cancelled job again, as a new one. JOB_NOT_RETRYABLE. */
  retry(jobId: string): Promise<Job>
  /** The newest lines of its log; `dropped` older ones are gone. */
  log(jobId: string): Promise<{ readonly dropped: number; readonly lines: readonly JobLogLine[] }>
  /** The job now, unless `after` names this moment, and then whenever it has changed and the last event was taken, until it is final. Slow takers miss what is in between. */
  watch(jobId: string, after: string, signal: AbortSignal): AsyncIterable<JobEvent>
}

/** How fast images are downloaded. INVALID_REQUEST for a limit that is too low to work with. */
export interface RateService {
  limits(): RateLimits
  setLimits(limits: RateLimits): Promise<void>
  /** JOB_NOT_FOUND, JOB_FINISHED. */
  limitJob(jobId: string, bytesPerSecond: number): Promise<void>
}

/** The image files of this host. IMAGE_NOT_FOUND for an unknown id. */
export interface LibraryService {
  /** Looks again where the last look is more than a few seconds old. */
  list(filter: ImageFilter, signal: AbortSignal): Promise<ImageListing>
  get(imageId: string, signal: AbortSignal): Promise<UsedImage>
  /** Folders that have images, sorted. */
  folders(): string[]
  /** Puts it into another folder; its file stays where it is. */
  move(imageId: string, folder: string, signal: AbortSignal): Promise<UsedImage>
  /** Deletes the file and what the agent wrote about it. IMAGE_IN_USE with the users. */
  delete(imageId: string, signal: AbortSignal): Promise<void>
  /** Looks at every place now. */
  scan(signal: AbortSignal): Promise<ImageListing>
  /** Tells the control plane of every image again; how many that will be, 0 without a control plane. */
  sync(): number
}

/** Adding this host to a control plane (docs/control-plane.md, "Adding a host"). */
export interface ClusterService {
  /** Another token in place of the one before; `groups` of four letters. */
  createToken(groups: number): Promise<JoinToken>
  /** TOKEN_MISSING, TOKEN_INVALID, TOKEN_EXPIRED, TOKEN_ATTEMPTS. */
  checkToken(token: string): Promise<JoinTokenLife>
  /** What a control plane wants to know of a host before it registers it; for bearers of the token. */
  discover(signal: AbortSignal): Promise<HostDiscovery>
  status(): MembershipStatus
  /** Registers this host there, remembers that, and keeps the link up from now on. The same again is success. JOIN_CONFLICT; errors of the registration. */
  join(controlPlane: string, clusterName: string, signal: AbortSignal): Promise<MembershipStatus>
  /** Ends the link and forgets the node id; pools and VMs stay as they are. Success when there is none. JOIN_CONFLICT when the configuration decides. */
  leave(): Promise<MembershipStatus>
  /** Whether something at the address speaks the protocol of a control plane, as text for people. */
  test(controlPlane: string, signal: AbortSignal): Promise<{ readonly success: boolean; readonly message: string }>
}

/** Consoles of VMs. Errors of every method: VM_NOT_FOUND, CONSOLE_OFF, CONSOLE_ABSENT, LIBVIRT_*. */
export interface ConsoleService {
  /**
   * Opens a relay to the VM's display for one connection from `caller` (an IP address; undefined for the unix socket), to be made within 30 s. CONSOLE_LIMIT, CONSOLE_UNAVAILABLE.
   */
  open(vmId: string, caller: string | undefined, signal: AbortSignal): Promise<ConsoleRelay>
  /** A ticket for one connection. */
  issueTicket(use: TicketUse, signal: AbortSignal): Promise<ConsoleTicket>
  /** Uses a ticket up: the console as a stream, to be destroyed by whoever gets it. TICKET_INVALID, CONSOLE_BUSY, CONSOLE_LIMIT, CONSOLE_UNAVAILABLE. */
  connect(vmId: string, ticket: string, signal: AbortSignal): Promise<{ kind: TicketUse['kind']; stream: Duplex }>
  /** The end of what the guest wrote to its first serial port; empty for foreign domains. LOG_UNREADABLE. */
  log(vmId: string, lines: number, signal: AbortSignal): Promise<LogTail & { readonly vmName: string }>
}

/** What an admin wishes of a new certificate; the rest is as the host needs it. */
export interface CertificateWish {
  readonly commonName?: string
  readonly names?: readonly string[]
}

/** The certificate of this host and what goes with it. Nothing in it is secret. */
export interface CertificateStatus extends HostCertificateStatus {
  readonly mode: 'self-signed' | 'manual' | 'acme'
  readonly securityMode: 'closed' | 'compat' | 'mtls'
  /** Of the HTTPS listener; undefined while it is off. */
  readonly httpsAddress: string | undefined
  readonly enrolment: EnrolmentStatus
}

/** Errors of every change: CERTIFICATE_INVALID, CERTIFICATE_EXPIRED, CERTIFICATE_NOT_WRITABLE, INVALID_REQUEST, INVALID_NAME. */
export interface CertificateService {
  /** From memory. */
  status(): CertificateStatus
  /** Uses a certificate from now on (PEM). Without a key it has to fit the last request or the key in use. */
  install(given: {
    readonly chain: string
    readonly key: string | undefined
    readonly authorities: string | undefined
  }): Promise<CertificateStatus>
  /** Replaces the authorities that may sign certificates of clients (PEM). */
  trust(authorities: string): Promise<CertificateStatus>
  /** A self-signed certificate in place of the one there is. */
  generate(wish: CertificateWish & { readonly validityDays?: number }): Promise<CertificateStatus>
  /** A signing request (PEM) for a new key, which stays on this host. */
  request(wish: CertificateWish): Promise<string>
  /** Has the cluster's authority sign a certificate and uses it; the same again is success. Errors of `Enroller.enrol`. */
  enrol(wish: EnrolmentWish, signal: AbortSignal): Promise<CertificateStatus>
  /** From memory. */
  acme(): AcmeStatus
  /** Makes the account at the ACME server; the same again is success. ACME_OFF, ACME_UNAVAILABLE, ACME_REFUSED. */
  registerAcme(email: string, signal: AbortSignal): Promise<AcmeStatus>
  /** Gets a certificate from the ACME server and uses it; `domains` default to those of the configuration. ACME_OFF, ACME_UNAVAILABLE, ACME_REFUSED, LISTEN_FAILED. */
  issueAcme(domains: readonly string[], signal: AbortSignal): Promise<CertificateStatus>
}

/** Moving VMs between hosts. */
export interface MigrationService {
  /** At the target: permission for a VM to come, once `receive` was called with its token. MIGRATION_REFUSED when the VM is here, LIBVIRT_*. */
  announce(vmId: string, signal: AbortSignal): Promise<MigrationTicket>
  /** At the target. TICKET_INVALID. */
  receive(token: string, vmId: string): void
  /** At the source: every obstacle, for people; changes nothing. VM_NOT_FOUND, VM_NOT_MANAGED, MIGRATION_PEER_UNAVAILABLE, MIGRATION_NOT_EXPECTED, LIBVIRT_*. */
  check(request: MigrationRequest, signal: AbortSignal): Promise<readonly string[]>
  /** At the source: begins it as a job. The same again is the same job. VM_STATE_CONFLICT when the VM is on its way elsewhere. */
  start(request: MigrationRequest, signal: AbortSignal): Promise<{ jobId: string }>
  /** From now to its end, which is COMPLETE or FAILED. JOB_NOT_FOUND. */
  watch(jobId: string, signal: AbortSignal): AsyncIterable<MigrationState>
  /** At the target: what the agent of the source calls. */
  readonly target: MigrationTarget
}

/** A network port as callers wish it; unchecked. */
export interface NetworkPortWish extends NetworkPortSpec {
  /** Port security, or security groups. */
  readonly isSecured: boolean
}

/** Ports of Open vSwitch. Errors of every method but `ovs`: OVS_ABSENT, OVS_UNAVAILABLE, INVALID_NAME, INVALID_REQUEST. */
export interface NetworkPortService {
  ovs(signal: AbortSignal): Promise<OvsStatus>
  /** The same again is success. NETWORK_UNKNOWN, OVN_MISSING, CONFLICT. */
  configure(wish: NetworkPortWish, signal: AbortSignal): Promise<NetworkPort>
  /** `vmId` may be empty. Success when there is none; CONFLICT when it is that of another VM. */
  delete(portId: string, vmId: string, signal: AbortSignal): Promise<void>
  /** NETWORK_PORT_NOT_FOUND. */
  get(portId: string, signal: AbortSignal): Promise<NetworkPort>
  list(signal: AbortSignal): Promise<NetworkPort[]>
  /** The `<interface>` of libvirt that is plugged in at the port. */
  interfaceXml(port: NetworkPort): string
}

/** What the transports serve. */
export interface Services {
  readonly host: HostService
  readonly vms: VmService
  readonly events: EventService
  readonly devices: VmDeviceService
  readonly snapshots: SnapshotService
  readonly migrations: MigrationService
  readonly backups: BackupService
  readonly guests: GuestService
  readonly consoles: ConsoleService
  readonly networkPorts: NetworkPortService
  readonly pools: PoolService
  readonly volumes: VolumeService
  readonly images: ImageService
  readonly intake: IntakeService
  readonly jobs: JobService
  readonly library: LibraryService
  readonly rates: RateService
  readonly cluster: ClusterService
  readonly certificates: CertificateService
}
