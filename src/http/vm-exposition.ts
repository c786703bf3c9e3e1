import type { VmMetrics } from '../core/metrics.ts'
import { Exposition, labelText } from './exposition.ts'

const SECOND_NS = 1e9

/** Everything that is counted of VMs, their disks and NICs, as a part of the metrics page (docs/vms.md, "Metrics"). */
export function vmExposition(vms: readonly VmMetrics[]): string {
  const page = new Exposition()
  const gauge = (name: string, help: string) => page.metric(`limiquantix_vm_${name}`, 'gauge', help)
  const counter = (name: string, help: string) => page.metric(`limiquantix_vm_${name}_total`, 'counter', help)

  const state = gauge('state', '1 for the present power state of a VM.')
  const vcpus = gauge('vcpus', 'vCPUs of a VM.')
  const cpu = counter('cpu_seconds', 'CPU time of a VM, its QEMU included.')
  const memory = gauge(
    'memory_bytes',
    'Memory of a VM: total and used as the guest has it, balloon, resident on the host.',
  )
  const observed = gauge('observed_timestamp_seconds', 'When CPU and NICs of a VM were read.')
  const devices = gauge('devices_observed_timestamp_seconds', 'When disks and memory of a VM were read.')

  const readBytes = counter('disk_read_bytes', 'Bytes read from a disk.')
  const reads = counter('disk_reads', 'Reads of a disk.')
  const readSeconds = counter('disk_read_seconds', 'Time spent on them.')
  const writtenBytes = counter('disk_written_bytes', 'Bytes written to a disk.')
  const writes = counter('disk_writes', 'Writes to a disk.')
  const writeSeconds = counter('disk_write_seconds', 'Time spent on them.')
  const flushes = counter('disk_flushes', 'Flushes of a disk.')
  const flushSeconds = counter('disk_flush_seconds', 'Time spent on them.')
  const capacity = gauge('disk_capacity_bytes', 'Size of a disk for the guest.')
  const allocation = gauge('disk_allocation_bytes', 'Up to where a disk was written in its volume.')
  const physical = gauge('disk_physical_bytes', 'What the volume of a disk takes.')

  const received = counter('nic_receive_bytes', 'Bytes that a guest received.')
  const receivedPackets = counter('nic_receive_packets', 'Packets that a guest received.')
  const receiveErrors = counter('nic_receive_errors', 'Errors of receiving.')
  const receiveDrops = counter('nic_receive_drops', 'Packets to a guest that were dropped.')
  const sent = counter('nic_transmit_bytes', 'Bytes that a guest sent.')
  const sentPackets = counter('nic_transmit_packets', 'Packets that a guest sent.')
  const sendErrors = counter('nic_transmit_errors', 'Errors of sending.')
  const sendDrops = counter('nic_transmit_drops', 'Packets of a guest that were dropped.')

  for (const vm of vms) {
    // Names are unique on a host but change; the id does not.
    const labels = labelText({ vm: vm.vmId, name: vm.name })
    state(`${labels},${labelText({ state: vm.state })}`, 1)
    vcpus(labels, vm.vcpus)
    const { counters } = vm
    if (counters === undefined) continue
    const { usage } = counters
    cpu(labels, usage.cpuTimeNs / SECOND_NS)
    observed(labels, usage.observedAt / 1000)
    if (counters.devicesObservedAt > 0) {
      devices(labels, counters.devicesObservedAt / 1000)
      memory(`${labels},kind="total"`, usage.memoryTotalBytes)
      memory(`${labels},kind="used"`, usage.memoryUsedBytes)
      memory(`${labels},kind="balloon"`, counters.balloonBytes)
      memory(`${labels},kind="resident"`, counters.residentBytes)
    }
    for (const disk of counters.disks) {
      const of = `${labels},${labelText({ disk: disk.id, device: disk.device, pool: disk.poolId })}`
      readBytes(of, disk.readBytes)
      reads(of, disk.readRequests)
      readSeconds(of, disk.readNs / SECOND_NS)
      writtenBytes(of, disk.writeBytes)
      writes(of, disk.writeRequests)
      writeSeconds(of, disk.writeNs / SECOND_NS)
      flushes(of, disk.flushRequests)
      flushSeconds(of, disk.flushNs / SECOND_NS)
      capacity(of, disk.capacityBytes)
      allocation(of, disk.allocationBytes)
      physical(of, disk.physicalBytes)
    }
    for (const nic of counters.nics) {
      const of = `${labels},${labelText({ nic: nic.id, device: nic.device })}`
      received(of, nic.rxBytes)
      receivedPackets(of, nic.rxPackets)
      receiveErrors(of, nic.rxErrors)
      receiveDrops(of, nic.rxDropped)
      sent(of, nic.txBytes)
      sentPackets(of, nic.txPackets)
      sendErrors(of, nic.txErrors)
      sendDrops(of, nic.txDropped)
    }
  }
  return page.text()
}
