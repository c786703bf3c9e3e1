/**
 * The nouns of the agent, transport-neutral. Sizes are bytes; times are milliseconds since the epoch unless the name says otherwise.
 * Wire forms (proto, JSON, XML) are mapped to and from these in the adapters.
 */
import type { VmProblem } from './events.ts'

export type { NodeEvent, NodeEventType } from './events.ts'

// ---- storage ------------------------------------------------------------------------------------------------------------

/** Storage pool types of the contract (StoragePoolType without UNSPECIFIED). */
export type PoolKind = 'LOCAL_DIR' | 'LOCAL_LVM' | 'NFS' | 'CEPH_RBD' | 'CEPH_FS' | 'ISCSI'

/** Formats the agent makes volumes in. */
export type DiskFormat = 'qcow2' | 'raw'

/** A pool as the control plane configured it; `options` is the sub-message of the kind, validated by its backend. */
export interface PoolConfig {
  readonly poolId: string
  readonly kind: PoolKind
  readonly options: Readonly<Record<string, unknown>>
}

/** Pool health of the contract (HEALTH_*), with hysteresis applied. */
export type PoolHealth = 'UNKNOWN' | 'HEALTHY' | 'DEGRADED' | 'ERROR' | 'UNMOUNTED'

/** What a probe saw, with the time it saw it. */
export interface PoolObservation {
  readonly health: PoolHealth
  /** Upper-snake reason code; `OK` when healthy. */
  readonly reason: string
  /** For an admin; empty when there is nothing to say. */
  readonly message: string
  readonly totalBytes: number
  readonly usedBytes: number
  readonly availableBytes: number
  readonly volumeCount: number
  readonly observedAt: number
  readonly probeLatencyMs: number
}

/** A pool as the agent reports it. */
export interface PoolInfo {
  readonly config: PoolConfig
  /** Directory of a file pool; empty for others. */
  readonly mountPath: string
  readonly devicePath: string
  readonly rbdPool: string
  readonly observation: PoolObservation
}

/** One entry of a pool directory; `path` is relative to the pool root. */
export interface PoolFile {
  readonly name: string
  readonly path: string
  readonly isDirectory: boolean
  readonly sizeBytes: number
  readonly modifiedAt: number
  /** `directory`, `symlink`, `special`, a disk format by content (worker/file-type.ts), or the extension in lower case. */
  readonly fileType: string
  /** Octal text such as `644`. */
  readonly permissions: string
}

/** What the adapters have a helper encode entries as: what may have a hundred thousand entries is not handed around as objects. */
export type PoolFileForm = 'json' | 'proto'

/** By what a directory is sorted; directories always come first. */
export type PoolFileOrder = 'name' | 'size' | 'mtime' | 'type'

/** A directory, or a part of it: the entries from `offset` on, at most `limit`. */
export interface PoolFileQuery {
  /** Relative to the pool root; '' is the root. */
  readonly path: string
  readonly offset: number
  /** Absent: all of them. */
  readonly limit?: number
  readonly order: PoolFileOrder
  readonly descending: boolean
  readonly form: PoolFileForm
}

/** A part of an answer about a directory of `total` entries: some of them in the form that was asked for, perhaps none. */
export interface PoolFileBatch {
  readonly total: number
  readonly bytes: Buffer
}

/** A file of a pool that is open for reading. */
export interface PoolFileContent {
  readonly name: string
  readonly sizeBytes: number
  readonly modifiedAt: number
  /** Another one for every change of the file. */
  readonly version: string
  /** `length` bytes from `offset` on, read as fast as they are taken. FILE_CHANGED when it is not the same file any more. */
  read(offset: number, length: number): AsyncIterable<Uint8Array>
}

/** A Ceph monitor. IPv6 addresses stand without brackets. */
export interface MonitorAddress {
  readonly host: string
  readonly port: number
}

/** An image of a Ceph cluster. Holds no secret: libvirt knows the key by `secretUuid`, tools of the host by `configFile`. */
export interface RbdSource {
  readonly type: 'network'
  readonly protocol: 'rbd'
  /** `<pool>[/<namespace>]/<image>`. */
  readonly name: string
  readonly monitors: readonly MonitorAddress[]
  /** Ceph user without `client.`. */
  readonly user: string
  readonly secretUuid: string
  /** Ceph configuration (monitors, keyring) for rbd(8) and qemu-img(1) on this host; absolute. */
  readonly configFile: string
  readonly format: 'raw'
}

/** Where the bytes of a volume or image are, and in which format: what a domain's `<disk>` and qemu-img need to reach it. */
export type DiskSource =
  | { readonly type: 'file'; readonly path: string; readonly format: DiskFormat }
  | { readonly type: 'block'; readonly device: string; readonly format: 'raw' }
  | RbdSource

/** One text per place, equal for equal places: the path of a file or device, `rbd:<pool>[/<namespace>]/<image>` for a Ceph image. */
export function placeOf(source: DiskSource): string {
  switch (source.type) {
    case 'file':
      return source.path
    case 'block':
      return source.device
    case 'network':
      return `${source.protocol}:${source.name}`
  }
}

/** A point in time of a volume, kept by its pool. `createdAt` is ms since the epoch. */
export interface VolumeSnapshot {
  readonly name: string
  readonly createdAt: number
}

/** A volume of a pool; `name` is the pool-relative identity (components of `[A-Za-z0-9_.-]` joined by `/`). */
export interface Volume {
  readonly poolId: string
  readonly name: string
  readonly format: DiskFormat
  readonly virtualSizeBytes: number
  readonly allocatedBytes: number
  readonly source: DiskSource
  /** What its maker keeps with it, where the pool can: every host of the pool sees that. */
  readonly note?: string
}

/** A volume with the names of those who refer to it, for people; absent while that cannot be told (libvirt is away). */
export interface UsedVolume extends Volume {
  readonly users?: readonly string[]
}

/** What a new volume begins with, as a caller names it: `id` as docs/api.md, "Volumes" says. */
export type VolumeOrigin =
  | { readonly type: 'empty' }
  | { readonly type: 'volume'; readonly id: string }
  | { readonly type: 'image'; readonly id: string }
  | { readonly type: 'snapshot'; readonly id: string }

export interface CreateVolumeRequest {
  readonly poolId: string
  readonly volumeId: string
  /** 0 = as large as what it begins with. */
  readonly sizeBytes: number
  /** Absent = what the pool type makes first: qcow2 where it can. */
  readonly format?: DiskFormat
  readonly origin: VolumeOrigin
}

/** How a volume is attached to a VM: its place (placeOf) and a `<disk>` for libvirt. */
export interface VolumeAttachInfo {
  readonly path: string
  readonly diskXml: string
}

// ---- virtual machines ---------------------------------------------------------------------------------------------------

/** PowerState of the contract. */
export type PowerState = 'UNKNOWN' | 'RUNNING' | 'STOPPED' | 'PAUSED' | 'SUSPENDED' | 'CRASHED'

export type DiskBus = 'virtio' | 'scsi' | 'sata'
export type NicModel = 'virtio' | 'e1000' | 'e1000e' | 'rtl8139' | 'vmxnet3'
export type Firmware = 'bios' | 'uefi'
export type BootDevice = 'disk' | 'cdrom' | 'network'
/** What is done when a guest says that its kernel has given up (pvpanic): start it anew, power it off, or keep it as it is for a look at its memory. */
export type CrashPolicy = 'restart' | 'destroy' | 'preserve'
/** What is done when a guest's watchdog runs out. */
export type WatchdogAction = 'reset' | 'poweroff' | 'pause'

/** Displays of a VM, beyond the VNC server that each has on loopback. */
export interface ConsoleSpec {
  /** 0 = any free one. */
  readonly vncPort: number
  readonly spice: boolean
  /** 0 = any free one. */
  readonly spicePort: number
}

/** A disk to create (empty `path`) or to attach as it is. */
export interface DiskSpec {
  readonly id: string
  readonly path: string
  readonly sizeBytes: number
  readonly bus: DiskBus
  readonly format: DiskFormat
  readonly readonly: boolean
  readonly bootable: boolean
  /** 0 = unlimited. */
  readonly iopsLimit: number
  /** Megabytes (10^6) per second; 0 = unlimited. */
  readonly throughputMbps: number
  /** Absolute path of an image on this host; empty = none. */
  readonly backingFile: string
  readonly poolId: string
}

export interface NicSpec {
  readonly id: string
  readonly macAddress: string
  readonly bridge: string
  readonly network: string
  readonly model: NicModel
  /** Megabits (10^6) per second in each direction; 0 or absent = unlimited. */
  readonly bandwidthMbps?: number
}

export interface CdromSpec {
  readonly id: string
  readonly isoPath: string
  readonly bootable: boolean
}

/** cloud-init documents as text; empty = not given. Secret: never logged. */
export interface CloudInitConfig {
  readonly userData: string
  readonly metaData: string
  readonly networkConfig: string
  readonly vendorData: string
}

export interface VmSpec {
  /** Total vCPUs. */
  readonly cpuCores: number
  readonly cpuSockets: number
  readonly cpuThreadsPerCore: number
  readonly memoryBytes: number
  readonly hugepages: boolean
  readonly firmware: Firmware
  /** Firmware that boots only what is signed, with the keys everybody has. UEFI only. */
  readonly secureBoot?: boolean
  /** An emulated TPM 2.0. */
  readonly tpm?: boolean
  /** A model's name, `host-model`, `host-passthrough` or `maximum`; absent = what suits the type of the domain. */
  readonly cpuModel?: string
  /** Absent = `restart`. */
  readonly onCrash?: CrashPolicy
  /** Absent = no watchdog. */
  readonly watchdog?: WatchdogAction
  readonly console?: ConsoleSpec
  /** Password of the VNC server. Secret: never logged, journaled or digested. */
  readonly vncPassword?: string
  readonly bootOrder: readonly BootDevice[]
  readonly disks: readonly DiskSpec[]
  readonly nics: readonly NicSpec[]
  readonly cdroms: readonly CdromSpec[]
  readonly cloudInit?: CloudInitConfig
  readonly guestOs: string
}

export interface CreateVmRequest {
  /** UUID in lower case; also the libvirt domain UUID. */
  readonly vmId: string
  readonly name: string
  readonly spec: VmSpec
  readonly labels: Readonly<Record<string, string>>
}

/** Counters of a running VM at `observedAt`. */
export interface VmUsage {
  readonly observedAt: number
  readonly cpuUsagePercent: number
  readonly cpuTimeNs: number
  readonly memoryUsedBytes: number
  readonly memoryTotalBytes: number
  readonly diskReadBytes: number
  readonly diskWriteBytes: number
  readonly networkRxBytes: number
  readonly networkTxBytes: number
}

export interface VmDisk {
  readonly id: string
  readonly path: string
  readonly targetDev: string
  readonly bus: string
  readonly format: string
  readonly sizeBytes: number
  readonly readonly: boolean
  readonly bootable: boolean
}

/** A VM as libvirt and our metadata in its domain describe it. `managed` = made by this agent. */
/** A network interface of a VM. */
export interface VmNic {
  readonly id: string
  /** In lower case. */
  readonly macAddress: string
  readonly model: string
  /** The libvirt network or bridge it is plugged into; empty for others. */
  readonly network: string
  readonly linkUp: boolean
  /** Limit in each direction in megabits (10^6) per second; 0 = none. */
  readonly bandwidthMbps: number
}

/** A point in time of a VM. */
export interface VmSnapshot {
  readonly id: string
  readonly name: string
  readonly description: string
  readonly createdAt: number
  /** What the VM was then, and is after going back to it; it is off after going back to one without memory. */
  readonly vmState: PowerState
  /** Empty = none. */
  readonly parentId: string
  readonly hasMemory: boolean
}

export interface VmInfo {
  readonly vmId: string
  readonly name: string
  readonly state: PowerState
  readonly managed: boolean
  /** Started by the agent when the host has booted; absent = no. */
  readonly autostart?: boolean
  readonly cpuCount: number
  readonly memoryBytes: number
  readonly labels: Readonly<Record<string, string>>
  readonly disks: readonly VmDisk[]
  readonly usage?: VmUsage
  /** Trouble that it has since it was started; absent = none. */
  readonly problems?: readonly VmProblem[]
  /** When the present run began, if running and known. */
  readonly startedAt?: number
  readonly observedAt: number
}

// ---- inside guests: what their agents claim ------------------------------------------------------------------------------

/** What a guest tells of itself; unknown parts are absent. */
export interface GuestFacts {
  /** Of the guest's agent. */
  readonly version: string
  /** Commands that the agent takes. */
  readonly capabilities: readonly string[]
  readonly hostname?: string
  readonly osName?: string
  readonly osVersion?: string
  readonly kernelVersion?: string
  readonly architecture?: string
  /** Without loopback and link-local ones. */
  readonly ipAddresses?: readonly string[]
  readonly usage?: GuestUsage
}

export interface GuestUsage {
  /** The host's own number, of all vCPUs. */
  readonly cpuUsagePercent: number
  readonly memoryTotalBytes: number
  readonly memoryUsedBytes: number
  readonly memoryAvailableBytes: number
  readonly swapTotalBytes: number
  readonly swapUsedBytes: number
  readonly loadAvg1: number
  readonly loadAvg5: number
  readonly loadAvg15: number
  readonly disks: readonly {
    readonly mountPoint: string
    readonly device: string
    readonly filesystem: string
    readonly totalBytes: number
    readonly usedBytes: number
    readonly availableBytes: number
  }[]
  /** Threads included. */
  readonly processCount: number
  readonly uptimeSeconds: number
}

/** An entry of a directory in a guest. */
export interface GuestFile {
  readonly name: string
  readonly path: string
  readonly isDirectory: boolean
  readonly isSymlink: boolean
  readonly sizeBytes: number
  /** st_mode. */
  readonly mode: number
  readonly modifiedAt?: number
  readonly owner: string
  readonly group: string
}

/** The end of a log file on this host. */
export interface LogTail {
  readonly path: string
  readonly sizeBytes: number
  readonly modifiedAt?: number
  readonly text: string
  readonly lines: number
  /** There is more before it. */
  readonly truncated: boolean
}

// ---- images -------------------------------------------------------------------------------------------------------------

/** Phases of an image job; the contract's status words are a projection of these and the operation state. */
export type DownloadPhase = 'pending' | 'downloading' | 'verifying' | 'converting' | 'publishing' | 'done'

export interface DownloadRequest {
  /** Given by the gRPC caller; else the agent makes one. */
  readonly jobId?: string
  readonly imageId: string
  readonly catalogId: string
  readonly url: string
  readonly targetDir: string
  readonly filename: string
  readonly poolId: string
  /** `sha256:<hex>`, `sha512:<hex>`, bare hex, the URL of a sums file, or empty: of the bytes as they come from the source. */
  readonly checksum: string
  readonly checksumType: string
  /** URL of a sums file (SHA256SUMS, CHECKSUM) that has the file of `url`. */
  readonly checksumUrl?: string
  /** URL of the detached signature of that sums file; without it a clear-signed file is its own. */
  readonly signatureUrl?: string
  /** Like `checksum`, but of the disk image inside: after decompressing, before converting. */
  readonly finalChecksum?: string
  /** Format to store it in; absent = by the file name, see docs/images.md. */
  readonly format?: DiskFormat
  /** Compress the clusters of the qcow2 that is stored. */
  readonly compress?: boolean
  /** More URLs of the same bytes, asked in order when the one before fails. */
  readonly mirrors?: readonly string[]
  /** Connections to the server at the same time; absent = what the host is configured to. */
  readonly connections?: number
  /** For the server of `url` alone. */
  readonly credentials?: DownloadCredentials
}

/** How a download proves who it is: HTTP Basic or Bearer. */
export type DownloadCredentials = { readonly username: string; readonly password: string } | { readonly token: string }
/** A local file that is to be converted. */
export interface ConversionRequest {
  readonly sourcePath: string
  readonly destPath: string
  /** Absent = found out by its content, which decides in any case. */
  readonly sourceFormat?: 'qcow2' | 'raw' | 'vmdk' | 'vhdx' | 'vpc' | 'vdi'
  readonly destFormat: DiskFormat
  readonly compress?: boolean
  readonly checksum?: string
}

/** An upload that is not finished. */
export interface UploadState {
  readonly uploadId: string
  readonly targetPath: string
  /** Where the next piece has to begin. */
  readonly offset: number
  readonly totalBytes?: number
}

export interface DownloadJob {
  readonly jobId: string
  readonly imageId: string
  readonly catalogId: string
  readonly url: string
  readonly poolId: string
  readonly targetPath: string
  readonly state: 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'
  readonly phase: DownloadPhase
  readonly percent: number
  readonly bytesDone: number
  readonly bytesTotal: number
  readonly bytesPerSecond: number
  readonly etaSeconds: number
  readonly errorMessage: string
  readonly startedAt: number
  readonly finishedAt?: number
}

/** What an image is likely to hold, guessed from its name, label and origin; texts are empty when unknown. */
export interface ImageOs {
  readonly family: 'unknown' | 'linux' | 'windows' | 'bsd' | 'other'
  readonly distribution: string
  readonly version: string
  readonly architecture: string
  readonly defaultUser: string
  readonly provisioning: 'unknown' | 'cloud-init' | 'ignition' | 'none'
}

/** An image file of this host: a disk image or an ISO in a file pool or in a directory of images. */
export interface LibraryImage {
  /** Stable: made of the place (docs/images.md, "Library"). */
  readonly id: string
  readonly name: string
  readonly fileName: string
  /** Absolute. */
  readonly path: string
  /** Empty for a directory without a pool. */
  readonly poolId: string
  /** Within the pool or directory. */
  readonly relativePath: string
  /** The volume that the image is, in a pool without files, and the place by which VMs name it. */
  readonly volume?: { readonly name: string; readonly place: string }
  readonly sizeBytes: number
  /** 0 = unknown. */
  readonly virtualSizeBytes: number
  /** By content: `qcow2`, `raw`, `iso`, `vmdk`, … */
  readonly format: string
  /** `sha256:<hex>` when the agent made it, else empty. */
  readonly checksum: string
  readonly os: ImageOs
  /** Volume id of an ISO, else empty. */
  readonly label: string
  /** Where people put it, `/` and below; no directory of a disk. */
  readonly folder: string
  /** URL it was downloaded from, else empty. */
  readonly url: string
  readonly modifiedAt: number
}

/** An image with who uses it; absent while that cannot be told. */
export interface UsedImage extends LibraryImage {
  readonly users?: readonly string[]
}

/** Every image that could be seen, and the places that could not be looked at. */
export interface ImageListing {
  readonly images: readonly UsedImage[]
  readonly unseen: readonly { readonly place: string; readonly reason: string; readonly message: string }[]
}

/** An image that the agent knows where to get. */
export interface CatalogImage {
  readonly id: string
  readonly name: string
  readonly family: ImageOs['family']
  readonly distribution: string
  readonly version: string
  readonly architecture: string
  readonly defaultUser: string
  readonly provisioning: ImageOs['provisioning']
  readonly url: string
  /** What proves it, as in a DownloadRequest. */
  readonly checksum?: string
  readonly checksumUrl?: string
  readonly signatureUrl?: string
  readonly finalChecksum?: string
  /** What is behind the URL. */
  readonly format: DiskFormat
  /** `built-in`, or the file it is from. */
  readonly origin: string
}

/** The catalog, and the files that could not be used. */
export interface CatalogListing {
  readonly images: readonly CatalogImage[]
  readonly problems: readonly { readonly file: string; readonly message: string }[]
}

/** Which images are meant; everything absent means all. */
export interface ImageFilter {
  readonly poolId?: string
  readonly kind?: 'iso' | 'disk'
  /** A folder; with what is below it when `subfolders`. */
  readonly folder?: string
  readonly subfolders?: boolean
}

// ---- jobs ---------------------------------------------------------------------------------------------------------------

/** Life of long work: `pending` waits for its turn; the last three are final. */
export type JobState = 'pending' | 'running' | 'completed' | 'failed' | 'cancelled'

/** Long work of any kind as an admin sees it. Times are ms since the epoch. */
export interface Job {
  readonly jobId: string
  /** `image.download`, `vm.create`, … */
  readonly kind: string
  /** What it works on, for people. */
  readonly subject: string
  /** The same for programs: `vm:<id>`, `pool:<id>`, `image:<path>`, `catalog:<id>`. */
  readonly resources: readonly string[]
  readonly state: JobState
  /** What it is doing, in words of its kind; empty before it begins. */
  readonly phase: string
  readonly percent: number
  readonly bytesDone: number
  /** 0 = unknown or nothing that is counted in bytes. */
  readonly bytesTotal: number
  readonly bytesPerSecond: number
  /** 0 = unknown. */
  readonly etaSeconds: number
  readonly error?: { readonly reason: string; readonly message: string }
  /** Facts of its kind, such as the URL of a download. */
  readonly details: Readonly<Record<string, string | number | boolean>>
  readonly canRetry: boolean
  readonly retryOf?: string
  readonly createdAt: number
  readonly startedAt?: number
  readonly finishedAt?: number
}

/** Which jobs are meant; everything absent means all. */
export interface JobFilter {
  readonly kind?: string
  readonly state?: JobState
  /** One of a job's resources, or the part of one after its colon. */
  readonly resource?: string
}

/** A job at one moment. The same `id` is the same moment; the last one of a job is `end`. */
export interface JobEvent {
  readonly id: string
  readonly job: Job
}

/** A line of a job's own log. */
export interface JobLogLine {
  readonly at: number
  readonly level: string
  readonly message: string
  readonly fields?: Readonly<Record<string, string | number | boolean>>
}

// ---- host ---------------------------------------------------------------------------------------------------------------

export interface CpuFacts {
  readonly model: string
  readonly vendor: string
  readonly sockets: number
  readonly coresPerSocket: number
  readonly threadsPerCore: number
  readonly totalThreads: number
  readonly frequencyMhz: number
  readonly features: readonly string[]
  readonly architecture: string
}

export interface MemoryFacts {
  readonly totalBytes: number
  readonly availableBytes: number
  readonly usedBytes: number
  readonly swapTotalBytes: number
  readonly swapUsedBytes: number
}

export interface FilesystemFacts {
  readonly device: string
  readonly mountPoint: string
  readonly filesystem: string
  readonly totalBytes: number
  readonly usedBytes: number
  readonly availableBytes: number
}

export interface NicFacts {
  readonly name: string
  readonly macAddress: string
  readonly ipAddresses: readonly string[]
  /** 0 = unknown. */
  readonly speedMbps: number
  readonly up: boolean
  readonly driver: string
  readonly mtu: number
}

export interface HostFacts {
  readonly hostname: string
  readonly managementIp: string
  readonly osName: string
  readonly osVersion: string
  readonly kernelVersion: string
  readonly cpu: CpuFacts
  readonly memory: MemoryFacts
  readonly filesystems: readonly FilesystemFacts[]
  readonly nics: readonly NicFacts[]
}

export interface HypervisorFacts {
  /** Display name, `libvirt/QEMU`. */
  readonly name: string
  /** libvirt's version `a.b.c`; empty until the first connection. */
  readonly version: string
  readonly qemuVersion: string
  readonly connected: boolean
  readonly maxVcpus: number
  readonly kvm: boolean
}

export interface HealthSummary {
  readonly healthy: boolean
  readonly version: string
  readonly hypervisor: string
  readonly hypervisorVersion: string
  readonly uptimeSeconds: number
}

/** The conversation with the control plane. `lastAckAt` is ms since the epoch; undefined before the first acknowledgement. */
export interface ControlPlaneStatus {
  readonly connected: boolean
  readonly lastAckAt: number | undefined
  readonly heartbeatsAcknowledged: number
  readonly heartbeatsFailed: number
  readonly registrations: number
  readonly registrationsFailed: number
}

/** Load of the host at `observedAt`. */
export interface HostLoad {
  readonly observedAt: number
  readonly cpuUsagePercent: number
  readonly memoryUsedBytes: number
  readonly memoryTotalBytes: number
  readonly load1: number
  readonly load5: number
  readonly load15: number
}

// ---- adding the host to a control plane -----------------------------------------------------------------------------------

/** How long a registration token is good. Times are ms since the epoch. */
export interface JoinTokenLife {
  readonly createdAt: number
  readonly expiresAt: number
  readonly expiresInSeconds: number
}

/** A registration token at the one moment it can be read. */
export interface JoinToken extends JoinTokenLife {
  readonly token: string
}

/** Part of a disk. `mountPoint` and `filesystem` are empty when not known; `usedBytes` is 0 then. */
export interface PartitionFacts {
  readonly name: string
  readonly mountPoint: string
  readonly filesystem: string
  readonly sizeBytes: number
  readonly usedBytes: number
}

export interface DiskFacts {
  readonly name: string
  readonly model: string
  readonly serial: string
  readonly sizeBytes: number
  readonly type: 'HDD' | 'SSD' | 'NVME'
  /** How it is attached: `nvme`, `sata`, `sas`, `usb`, `virtio`, `scsi`, `mmc`, or empty. */
  readonly interface: string
  readonly removable: boolean
  readonly smartStatus: SmartStatus
  readonly partitions: readonly PartitionFacts[]
}

/** What the disk thinks of its own health; UNKNOWN also while nobody asked it yet. */
export type SmartStatus = 'PASSED' | 'FAILED' | 'UNKNOWN'

export interface NfsMountFacts {
  readonly mountPoint: string
  readonly server: string
  readonly exportPath: string
}

export interface IscsiLunFacts {
  readonly targetIqn: string
  /** `address:port`. */
  readonly portal: string
  /** Empty for a session without a disk. */
  readonly devicePath: string
  readonly sizeBytes: number
  readonly lun: number
}

export interface GpuFacts {
  readonly name: string
  readonly vendor: string
  readonly pciAddress: string
  readonly driver: string
  /** 0 = not told. */
  readonly memoryBytes: number
  readonly vgpuProfiles: readonly string[]
  /** It is in an IOMMU group of the kernel. */
  readonly passthroughCapable: boolean
}

export interface AdapterFacts extends NicFacts {
  /** Empty for one without a PCI device of its own. */
  readonly pciAddress: string
  /** Virtual functions it can have; 0 = no SR-IOV. */
  readonly sriovVfsTotal: number
}

/** The hardware of the host, beyond HostFacts. */
export interface HardwareFacts {
  readonly eccEnabled: boolean
  /** Memory modules; 0 = not told. */
  readonly dimmCount: number
  readonly disks: readonly DiskFacts[]
  readonly nfs: readonly NfsMountFacts[]
  readonly iscsi: readonly IscsiLunFacts[]
  readonly adapters: readonly AdapterFacts[]
  readonly gpus: readonly GpuFacts[]
}

/** A host as a control plane discovers it before it registers it. */
export interface HostDiscovery {
  readonly host: HostFacts
  readonly hardware: HardwareFacts
  /** Numbers of file systems of servers by mount point, as pools last saw them. */
  readonly sizes: ReadonlyMap<
    string,
    { readonly totalBytes: number; readonly usedBytes: number; readonly availableBytes: number }
  >
}

/** The host as a member of a control plane's cluster. */
export interface MembershipStatus {
  /** Who said so: the configuration file, a join, or nobody. */
  readonly origin: 'configuration' | 'join' | 'none'
  /** Empty without one. */
  readonly controlPlane: string
  readonly clusterName: string
  readonly heartbeatIntervalSecs: number
  readonly state: 'stopped' | 'registering' | 'connected' | 'disconnected'
  /** Given by the control plane; empty until then. */
  readonly nodeId: string
  readonly lastAckAt: number | undefined
  readonly consecutiveFailures: number
  /** Of the last failure; empty without one. */
  readonly lastError: string
}

/** A ticket for one console connection over WebSocket. */
export interface ConsoleTicket {
  /** A secret. */
  readonly ticket: string
  readonly lifeMs: number
  /** What the console asks for; empty when it asks for nothing. A secret. */
  readonly password: string
}

/** Where one connection to the display of a VM can be made. */
export interface ConsoleRelay {
  readonly type: 'vnc'
  /** An IP address of this host. */
  readonly host: string
  readonly port: number
  /** What the console asks for; empty when it asks for nothing. A secret. */
  readonly password: string
}

// ---- migration ----------------------------------------------------------------------------------------------------------

/** How a VM is to be moved. */
export interface MigrationRequest {
  readonly vmId: string
  /** The other agent: the URL of its HTTP listener, or its host. */
  readonly target: string
  /** False: the guest stands still meanwhile. */
  readonly live: boolean
  /** Copy the disks that the other host does not see. */
  readonly copyStorage: boolean
  readonly options: MigrationOptions
}

export interface MigrationOptions {
  /** Of the memory, MiB per second; absent = no limit. */
  readonly bandwidthMibps?: number | undefined
  /** How long the guest may stand still at the switch; absent = libvirt's 300 ms. */
  readonly maxDowntimeMs?: number | undefined
  /** Slow a guest down that writes faster than its memory can be sent. */
  readonly autoConverge?: boolean | undefined
  /** Switch to the other host after this time, and fetch the rest of the memory from there. */
  readonly postCopyAfterMs?: number | undefined
}

/** MigrationPhase of the contract. */
export type MigrationPhase = 'PREPARING' | 'TRANSFERRING' | 'SWITCHING' | 'COMPLETE' | 'FAILED'

/** How far a migration is. */
export interface MigrationState {
  readonly vmId: string
  readonly jobId: string
  readonly phase: MigrationPhase
  readonly percent: number
  readonly bytesDone: number
  readonly bytesRemaining: number
  /** Empty unless it failed. */
  readonly error: string
}

/** Permission to bring one VM to this host. Times: ms since the epoch. */
export interface MigrationTicket {
  readonly token: string
  readonly vmId: string
  readonly expiresAt: number
}

/** Limits of a network port as its guest sees them: `ingress` is what it receives. Kilobits (10^3) per second and kilobits; 0 = none. */
export interface PortRates {
  readonly ingressKbps: number
  readonly ingressBurstKb: number
  readonly egressKbps: number
  readonly egressBurstKb: number
}

/** A port of Open vSwitch as it is wished. */
export interface NetworkPortSpec {
  readonly portId: string
  readonly vmId: string
  readonly networkId: string
  /** In lower case; that of the NIC which the port belongs to. */
  readonly macAddress: string
  readonly ipAddresses: readonly string[]
  /** How OVN calls the port; empty for its id. */
  readonly ovnPortName: string
  readonly rates: PortRates
}

/** A port of Open vSwitch as it is. */
export interface NetworkPort extends NetworkPortSpec {
  /** PENDING until its NIC is plugged in, which is while the VM runs. */
  readonly phase: 'PENDING' | 'ACTIVE' | 'DOWN' | 'ERROR'
  /** In the words of Open vSwitch; empty without one. */
  readonly error: string
  /** Where such ports are. */
  readonly bridge: string
  /** Name of the interface; empty while PENDING. */
  readonly ovsPortName: string
  /** As the switch counts: received is what the guest sent. */
  readonly rxBytes: number
  readonly txBytes: number
  readonly rxPackets: number
  readonly txPackets: number
}

/** Open vSwitch, and OVN, on this host. */
export interface OvsStatus {
  readonly available: boolean
  /** Why it is not available; empty when it is. */
  readonly problem: string
  readonly version: string
  readonly integrationBridge: string
  readonly encapType: string
  readonly encapIp: string
  readonly chassisId: string
  /** Whether ovn-controller runs and has its database. */
  readonly ovnConnected: boolean
}
