/**
 * The nouns of the agent, transport-neutral. Sizes are bytes; times are milliseconds since the epoch unless the name says otherwise.
 * Wire forms (proto, JSON, XML) are mapped to and from these in the adapters.
 */

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
  readonly fileType: string
  /** Octal text such as `644`. */
  readonly permissions: string
}

/** What a domain's `<disk>` needs to reach a volume. */
export type DiskSource =
  | { readonly type: 'file'; readonly path: string; readonly format: DiskFormat }
  | { readonly type: 'block'; readonly device: string; readonly format: 'raw' }

/** A volume of a pool; `name` is the pool-relative identity (components of `[A-Za-z0-9_.-]` joined by `/`). */
export interface Volume {
  readonly poolId: string
  readonly name: string
  readonly format: DiskFormat
  readonly virtualSizeBytes: number
  readonly allocatedBytes: number
  readonly source: DiskSource
}

// ---- virtual machines ---------------------------------------------------------------------------------------------------

/** PowerState of the contract. */
export type PowerState = 'UNKNOWN' | 'RUNNING' | 'STOPPED' | 'PAUSED' | 'SUSPENDED' | 'CRASHED'

export type DiskBus = 'virtio' | 'scsi' | 'sata'
export type NicModel = 'virtio' | 'e1000' | 'e1000e' | 'rtl8139' | 'vmxnet3'
export type Firmware = 'bios' | 'uefi'
export type BootDevice = 'disk' | 'cdrom' | 'network'

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
export interface VmInfo {
  readonly vmId: string
  readonly name: string
  readonly state: PowerState
  readonly managed: boolean
  readonly cpuCount: number
  readonly memoryBytes: number
  readonly labels: Readonly<Record<string, string>>
  readonly disks: readonly VmDisk[]
  readonly usage?: VmUsage
  /** When the present run began, if running and known. */
  readonly startedAt?: number
  readonly observedAt: number
}

/** EventType of the contract (root numbering), those the agent emits. */
export type NodeEventType = 'VM_STARTED' | 'VM_STOPPED' | 'VM_PAUSED' | 'VM_RESUMED' | 'VM_CRASHED' | 'VM_REBOOTED'

export interface NodeEvent {
  /** Increasing within one run of the agent. */
  readonly id: string
  readonly timestamp: number
  readonly type: NodeEventType
  readonly vmId: string
  readonly message: string
  readonly metadata: Readonly<Record<string, string>>
}

// ---- images -------------------------------------------------------------------------------------------------------------

/** Phases of an image job; the contract's status words are a projection of these and the operation state. */
export type DownloadPhase = 'pending' | 'downloading' | 'verifying' | 'publishing' | 'done'

export interface DownloadRequest {
  /** Given by the gRPC caller; else the agent makes one. */
  readonly jobId?: string
  readonly imageId: string
  readonly catalogId: string
  readonly url: string
  readonly targetDir: string
  readonly filename: string
  readonly poolId: string
  /** `sha256:<hex>`, `sha512:<hex>`, bare hex, or empty. */
  readonly checksum: string
  readonly checksumType: string
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
