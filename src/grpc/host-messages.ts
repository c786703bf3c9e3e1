import type { HostFacts, HypervisorFacts, NodeEvent } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'
import { EventType } from './gen/limiquantix/node/v1/EventType.ts'
import type { NodeEvent as NodeEventMessage } from './gen/limiquantix/node/v1/NodeEvent.ts'
import type { NodeInfoResponse } from './gen/limiquantix/node/v1/NodeInfoResponse.ts'
import { toTimestamp } from './wire-values.ts'

/** The host as GetNodeInfo answers it. */
export function toNodeInfoMessage(nodeId: string, host: HostFacts, hypervisor: HypervisorFacts): NodeInfoResponse {
  return {
    nodeId,
    hostname: host.hostname,
    managementIp: host.managementIp,
    cpu: { ...host.cpu, frequencyMhz: toUnsigned(host.cpu.frequencyMhz), features: [...host.cpu.features] },
    memory: {
      totalBytes: toUnsigned(host.memory.totalBytes),
      availableBytes: toUnsigned(host.memory.availableBytes),
      usedBytes: toUnsigned(host.memory.usedBytes),
      swapTotalBytes: toUnsigned(host.memory.swapTotalBytes),
      swapUsedBytes: toUnsigned(host.memory.swapUsedBytes),
    },
    storage: host.filesystems.map((fs) => ({
      ...fs,
      totalBytes: toUnsigned(fs.totalBytes),
      usedBytes: toUnsigned(fs.usedBytes),
      availableBytes: toUnsigned(fs.availableBytes),
    })),
    network: host.nics.map((nic) => ({
      ...nic,
      ipAddresses: [...nic.ipAddresses],
      speedMbps: toUnsigned(nic.speedMbps),
    })),
    // The abilities of this version of the agent, not of QEMU: what is not built here is not supported.
    capabilities: {
      name: hypervisor.name,
      version: hypervisor.version,
      supportsLiveMigration: false,
      supportsSnapshots: false,
      supportsHotplug: false,
      supportsGpuPassthrough: false,
      supportsNestedVirtualization: false,
      maxVcpus: toUnsigned(hypervisor.maxVcpus),
      maxMemoryBytes: toUnsigned(host.memory.totalBytes),
      qemuVersion: hypervisor.qemuVersion,
      connected: hypervisor.connected,
      kvm: hypervisor.kvm,
    },
    osName: host.osName,
    osVersion: host.osVersion,
    kernelVersion: host.kernelVersion,
  }
}

/** An event as StreamEvents sends it. */
export function toEventMessage(event: NodeEvent): NodeEventMessage {
  return {
    id: event.id,
    timestamp: toTimestamp(event.timestamp),
    type: EventType[`EVENT_TYPE_${event.type}`],
    vmId: event.vmId,
    message: event.message,
    metadata: { ...event.metadata },
  }
}
