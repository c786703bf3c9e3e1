/** What is counted of VMs and of the host, transport-neutral. Counters of VMs begin anew with each start of the guest. Times are ms since the epoch. */
import type { PowerState, VmUsage } from './model.ts'

/** Counters of one disk of a VM; what libvirt does not tell of a disk is absent. */
export interface VmDiskCounters {
  /** Id of the disk or drive; the name in the domain where it has none. */
  readonly id: string
  /** Name in the domain, such as `vda`. */
  readonly device: string
  /** Empty when it is in no pool. */
  readonly poolId: string
  readonly readBytes: number
  readonly readRequests: number
  readonly readNs: number
  readonly writeBytes: number
  readonly writeRequests: number
  readonly writeNs: number
  readonly flushRequests: number
  readonly flushNs: number
  /** What the guest sees. */
  readonly capacityBytes?: number
  /** Up to where it was written. */
  readonly allocationBytes?: number
  /** What it takes in its pool. */
  readonly physicalBytes?: number
}

/** Counters of one NIC of a VM, from the guest's side: `rx` is what the guest received. */
export interface VmNicCounters {
  /** Id of the NIC; the name of its tap where it has none. */
  readonly id: string
  /** Tap on the host, such as `vnet3`. */
  readonly device: string
  readonly rxBytes: number
  readonly rxPackets: number
  readonly rxErrors: number
  readonly rxDropped: number
  readonly txBytes: number
  readonly txPackets: number
  readonly txErrors: number
  readonly txDropped: number
}

/** Everything that is counted of one running VM. */
export interface VmCounters {
  readonly usage: VmUsage
  readonly cpuUserNs: number
  readonly cpuSystemNs: number
  /** What the balloon leaves to the guest. */
  readonly balloonBytes?: number
  /** What QEMU holds of the host's memory. */
  readonly residentBytes?: number
  readonly disks: readonly VmDiskCounters[]
  readonly nics: readonly VmNicCounters[]
  /** When disks and memory were read: older than `usage.observedAt` while QEMU, or the storage below it, does not answer. 0 = never. */
  readonly devicesObservedAt: number
}

/** A VM with its counters, which are absent while it is off or nothing is known yet. */
export interface VmMetrics {
  readonly vmId: string
  readonly name: string
  readonly state: PowerState
  readonly vcpus: number
  readonly counters?: VmCounters
}

/** Counters of a disk of the host since it booted; rates over the last interval between two readings. */
export interface HostDiskCounters {
  readonly device: string
  readonly readBytes: number
  readonly writeBytes: number
  readonly readBytesPerSecond: number
  readonly writeBytesPerSecond: number
  readonly readsPerSecond: number
  readonly writesPerSecond: number
  /** Share of the time in which it had something to do, 0 to 100. */
  readonly busyPercent: number
}

/** Counters of a network interface of the host since it came up; rates as above. */
export interface HostNicCounters {
  readonly name: string
  readonly rxBytes: number
  readonly txBytes: number
  readonly rxPackets: number
  readonly txPackets: number
  readonly rxErrors: number
  readonly txErrors: number
  readonly rxBytesPerSecond: number
  readonly txBytesPerSecond: number
}

/** Disks and interfaces of the host. */
export interface HostCounters {
  readonly observedAt: number
  readonly disks: readonly HostDiskCounters[]
  readonly nics: readonly HostNicCounters[]
}
