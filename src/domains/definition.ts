import type {
  ConsoleSpec,
  CrashPolicy,
  DiskBus,
  DiskSource,
  Firmware,
  NicModel,
  WatchdogAction,
} from '../core/model.ts'
import type { GuestProfile } from './guest-profiles.ts'

/** libvirt's domain type: hardware virtualisation or emulation. */
export type DomainType = 'kvm' | 'qemu'

/** How QEMU opens a disk. `native` needs O_DIRECT, which `cache: none` uses; sources that are no file of the host have no `io`. `iothread`: requests of a virtio disk are served by a thread of their own. */
export interface DiskIo {
  readonly cache: 'none' | 'writeback'
  readonly io?: 'native' | 'threads'
  readonly iothread?: true
}

/** A disk whose every fact is known. */
export interface DiskDefinition {
  readonly id: string
  /** The active layer. */
  readonly source: DiskSource
  /** What is below the active layer, nearest first; empty for a disk of its own. */
  readonly backing: readonly DiskSource[]
  readonly bus: DiskBus
  readonly driver: DiskIo
  readonly readonly: boolean
  readonly bootable: boolean
  readonly sizeBytes: number
  /** 0 = unlimited. */
  readonly iopsLimit: number
  /** Bytes per second; 0 = unlimited. */
  readonly bytesPerSecondLimit: number
  /** Pool and volume of the disk; empty strings when it is in no pool. */
  readonly poolId: string
  readonly volume: string
  /** Made by the agent for this VM: deleted with it. */
  readonly owned: boolean
}

/** Where a NIC is plugged in. `user` is QEMU's own NAT, for hosts without any network. */
export type NicTarget =
  | { readonly type: 'network'; readonly network: string }
  | { readonly type: 'bridge'; readonly bridge: string }
  /** A bridge of Open vSwitch; `vlan` is the tag of an access port. */
  | { readonly type: 'ovs'; readonly bridge: string; readonly vlan?: number }
  | { readonly type: 'user' }

export interface NicDefinition {
  readonly id: string
  readonly macAddress: string
  readonly model: NicModel
  readonly target: NicTarget
  /** Megabits (10^6) per second in each direction; absent = unlimited. */
  readonly bandwidthMbps?: number
}

/** A CD-ROM drive; `path` is empty when no medium is in it. */
export interface CdromDefinition {
  readonly id: string
  readonly path: string
  readonly bootable: boolean
  readonly role: 'user' | 'seed'
}

export interface CpuTopology {
  readonly sockets: number
  readonly cores: number
  readonly threads: number
}

/** Everything a domain is made of. The XML is a pure function of it. */
export interface DomainDefinition {
  readonly vmId: string
  readonly name: string
  readonly type: DomainType
  /** QEMU binary; absent = libvirt's choice. */
  readonly emulator?: string
  readonly topology: CpuTopology
  readonly memoryBytes: number
  readonly hugepages: boolean
  readonly firmware: Firmware
  readonly secureBoot: boolean
  readonly tpm: boolean
  /** A model's name, `host-model`, `host-passthrough` or `maximum`; absent = host-passthrough with KVM, else maximum. */
  readonly cpuModel?: string
  readonly onCrash: CrashPolicy
  readonly watchdog?: WatchdogAction
  readonly console: ConsoleSpec
  /** Secret. */
  readonly vncPassword?: string
  readonly guest: GuestProfile
  /** Those of the guest's enlightenments that this host has. */
  readonly hyperv: readonly string[]
  /** Boot devices (ids of disks and CD-ROMs, `nic:<id>`), first one first; devices that are not named are not booted from. */
  readonly bootOrder: readonly string[]
  readonly disks: readonly DiskDefinition[]
  readonly nics: readonly NicDefinition[]
  /** The user's first, the seed last. */
  readonly cdroms: readonly CdromDefinition[]
  readonly consoleLogPath: string
  /** Limit of the translation cache of an emulated guest; 0 leaves QEMU's own (a gigabyte). */
  readonly tbCacheBytes: number
  readonly metadata: VmMetadata
}

/** What the agent writes into the domain beside the devices; together with the devices it is all that is needed to know the VM again. */
export interface VmMetadata {
  readonly agentVersion: string
  /** ISO 8601. */
  readonly createdAt: string
  /** Digest of the request without secrets: the same request again is the same VM. */
  readonly specDigest: string
  readonly guestOs: string
  readonly labels: Readonly<Record<string, string>>
}
