import type { VmCounters, VmDiskCounters, VmNicCounters } from '../core/metrics.ts'
import type { VmUsage } from '../core/model.ts'
import type { DomainFacts } from './domain-info.ts'
import type { DomainSample } from './domain-stats.ts'

/** The sums of a running VM. CPU is in percent of all its vCPUs. */
export function vmUsage(sample: DomainSample, cpuCount: number): VmUsage {
  const { memory } = sample
  const total = memory?.availableBytes ?? memory?.balloonBytes ?? 0
  // What the guest says it uses; without its balloon driver, what the QEMU process holds.
  const used =
    memory?.unusedBytes === undefined ? (memory?.residentBytes ?? 0) : Math.max(0, total - memory.unusedBytes)
  return {
    observedAt: sample.observedAt,
    cpuUsagePercent: Math.min(100, (sample.busyCpus / Math.max(1, cpuCount)) * 100),
    cpuTimeNs: sample.cpuTimeNs,
    memoryUsedBytes: used,
    memoryTotalBytes: total,
    diskReadBytes: sum(sample.disks, (disk) => disk.readBytes),
    diskWriteBytes: sum(sample.disks, (disk) => disk.writeBytes),
    networkRxBytes: sum(sample.nics, (nic) => nic.rxBytes),
    networkTxBytes: sum(sample.nics, (nic) => nic.txBytes),
  }
}

/** All counters of a running VM, its devices under their own ids. */
export function vmCounters(sample: DomainSample, facts: DomainFacts): VmCounters {
  const { memory, disks, nics } = sample
  return {
    usage: vmUsage(sample, facts.cpuCount),
    cpuUserNs: sample.cpuUserNs,
    cpuSystemNs: sample.cpuSystemNs,
    ...(memory?.balloonBytes === undefined ? {} : { balloonBytes: memory.balloonBytes }),
    ...(memory?.residentBytes === undefined ? {} : { residentBytes: memory.residentBytes }),
    disks: disks.map(({ index: _, ...disk }): VmDiskCounters => {
      const own = facts.disks.find(({ targetDev }) => targetDev === disk.device)
      const drive = facts.cdroms.find(({ targetDev }) => targetDev === disk.device)
      return { ...disk, id: own?.id ?? drive?.id ?? disk.device, poolId: own?.poolId ?? '' }
    }),
    // libvirt counts the NICs as they stand in the domain.
    nics: nics.map(({ index, ...nic }): VmNicCounters => ({ ...nic, id: facts.nics[index]?.id ?? nic.device })),
    devicesObservedAt: sample.devicesObservedAt,
  }
}

function sum<T>(items: readonly T[], value: (item: T) => number): number {
  return items.reduce((total, item) => total + value(item), 0)
}
