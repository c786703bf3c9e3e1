import type { HostCounters, VmMetrics } from '../core/metrics.ts'
import type { HostLoad } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'
import type { NodeMetrics } from './gen/limiquantix/node/v1/NodeMetrics.ts'
import { toTimestamp } from './wire-values.ts'

/** Host and running VMs as StreamMetrics sends them: bytes and packets are counters, `iops` and percentages those of the last interval. */
export function toMetricsMessage(load: HostLoad, host: HostCounters, vms: readonly VmMetrics[]): NodeMetrics {
  return {
    timestamp: toTimestamp(Date.now()),
    cpuUsagePercent: load.cpuUsagePercent,
    memoryUsedBytes: toUnsigned(load.memoryUsedBytes),
    memoryTotalBytes: toUnsigned(load.memoryTotalBytes),
    disks: host.disks.map((disk) => ({
      device: disk.device,
      readBytes: toUnsigned(disk.readBytes),
      writeBytes: toUnsigned(disk.writeBytes),
      readIops: toUnsigned(Math.round(disk.readsPerSecond)),
      writeIops: toUnsigned(Math.round(disk.writesPerSecond)),
      utilizationPercent: disk.busyPercent,
    })),
    networks: host.nics.map((nic) => ({
      interface: nic.name,
      rxBytes: toUnsigned(nic.rxBytes),
      txBytes: toUnsigned(nic.txBytes),
      rxPackets: toUnsigned(nic.rxPackets),
      txPackets: toUnsigned(nic.txPackets),
      rxErrors: toUnsigned(nic.rxErrors),
      txErrors: toUnsigned(nic.txErrors),
    })),
    vms: vms.flatMap(({ vmId, name, counters }) => {
      if (counters === undefined) return []
      const { usage } = counters
      return [
        {
          vmId,
          name,
          cpuUsagePercent: usage.cpuUsagePercent,
          memoryUsedBytes: toUnsigned(usage.memoryUsedBytes),
          diskReadBytes: toUnsigned(usage.diskReadBytes),
          diskWriteBytes: toUnsigned(usage.diskWriteBytes),
          networkRxBytes: toUnsigned(usage.networkRxBytes),
          networkTxBytes: toUnsigned(usage.networkTxBytes),
        },
      ]
    }),
  }
}
