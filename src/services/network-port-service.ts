import { AgentError } from '../core/errors.ts'
import { parseId, parseUuid, quote } from '../core/ids.ts'
import type { NetworkPort } from '../core/model.ts'
import { nicXml } from '../domains/nic-xml.ts'
import { writeXml } from '../libvirt/write-xml.ts'
import type { NetworkPorts } from '../network/network-ports.ts'
import type { NetworkPortService, NetworkPortWish } from './contracts.ts'
import { fieldChecks } from './request-fields.ts'

const MAC = /^[0-9a-f]{2}(:[0-9a-f]{2}){5}$/
const MAX_ADDRESSES = 64
/** What the database of Open vSwitch can count. */
const MAX_RATE = 0xffff_ffff

/** NetworkPortService over the ports of Open vSwitch: checks what callers send. */
export function createNetworkPortService(ports: NetworkPorts): NetworkPortService {
  const check = fieldChecks('INVALID_REQUEST')
  const portIdOf = (text: string) => parseId(text, 'port_id')
  return {
    ovs: (signal) => ports.status(signal),
    async configure(wish, signal) {
      const spec = {
        portId: portIdOf(wish.portId),
        vmId: parseUuid(wish.vmId, 'vm_id'),
        networkId: check.text(wish.networkId, 'network_id', { maxBytes: 128 }),
        macAddress: macOf(wish.macAddress),
        ipAddresses: addressesOf(wish.ipAddresses),
        ovnPortName: check.text(wish.ovnPortName, 'ovn_port_name', { maxBytes: 128 }),
        rates: {
          ingressKbps: check.integer(wish.rates.ingressKbps, 'qos.ingress_rate_kbps', { max: MAX_RATE }),
          ingressBurstKb: check.integer(wish.rates.ingressBurstKb, 'qos.ingress_burst_kb', { max: MAX_RATE }),
          egressKbps: check.integer(wish.rates.egressKbps, 'qos.egress_rate_kbps', { max: MAX_RATE }),
          egressBurstKb: check.integer(wish.rates.egressBurstKb, 'qos.egress_burst_kb', { max: MAX_RATE }),
        },
      }
      if (wish.isSecured) await requireOvn(wish, signal)
      return ports.configure(spec, signal)
    },
    async delete(portId, vmId, signal) {
      await ports.delete(portIdOf(portId), vmId === '' ? undefined : parseUuid(vmId, 'vm_id'), signal)
    },
    get: async (portId, signal) => ports.get(portIdOf(portId), signal),
    list: (signal) => ports.list(signal),
    interfaceXml,
  }

  function macOf(text: string): string {
    const mac = text.toLowerCase()
    return MAC.test(mac) ? mac : check.fail('mac_address', `${quote(text)} is not a MAC address`)
  }

  function addressesOf(list: readonly string[]): string[] {
    if (list.length > MAX_ADDRESSES) check.fail('ip_addresses', `more than ${MAX_ADDRESSES} are not supported`)
    return list.map((address, index) => check.text(address, `ip_addresses[${index}]`, { maxBytes: 64, required: true }))
  }

  // Without OVN nobody would enforce it.
  async function requireOvn({ portId }: NetworkPortWish, signal: AbortSignal): Promise<void> {
    const { available, ovnConnected } = await ports.status(signal)
    if (!available || ovnConnected) return
    throw new AgentError(
      'OVN_MISSING',
      `network port ${portId} is to have port security or security groups, which are rules of OVN; ovn-controller is not connected on this host`,
    )
  }
}

// For whoever defines a domain without this agent.
function interfaceXml({ portId, macAddress, bridge }: NetworkPort): string {
  return writeXml(nicXml({ id: portId, macAddress, model: 'virtio', target: { type: 'ovs', bridge } }, undefined))
}
