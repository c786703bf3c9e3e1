import type { HostFacts, HypervisorFacts } from '../core/model.ts'
import { toUnsigned } from '../core/wire-number.ts'
import type { NodeInfoResponse } from './gen/limiquantix/node/v1/NodeInfoResponse.ts'

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
      supportsLiveMigration: true,
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
