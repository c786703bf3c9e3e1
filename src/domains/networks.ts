import { access } from 'node:fs/promises'
import path from 'node:path'
import type { OpContext } from '../core/context.ts'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { NicSpec } from '../core/model.ts'
import { fromLibvirt } from '../libvirt/agent-errors.ts'
import { VIR_ERR } from '../libvirt/constants.ts'
import { isLibvirtError } from '../libvirt/errors.ts'
import { OpenVswitch } from '../network/open-vswitch.ts'
import type { NicDefinition, NicTarget } from './definition.ts'
import type { LibvirtCalls } from './libvirt-domain.ts'

/** Names of networks (as requests or the rule below give them) to what they are on this host: `user`, `bridge:<name>`, `ovs:<bridge>`, `ovs:<bridge>:<VLAN>`, `network:<name>` or a network's name. */
export type NetworkMap = Readonly<Record<string, string>>

const LOOKUP_TIMEOUT_MS = 15_000

/**
 * Where a NIC goes (contract 1.4): a bridge as given; ids of the control plane (`net-…`, or longer than 30 characters with a dash) and nothing at all mean the
 * network `default`; other text is the name of a libvirt network. The map of the configuration comes first, for the text as given and for the resulting name.
 */
export function nicTarget(nic: Pick<NicSpec, 'bridge' | 'network'>, map: NetworkMap): NicTarget {
  if (nic.bridge !== '') return { type: 'bridge', bridge: nic.bridge }
  const direct = nic.network === '' ? undefined : lookUp(map, nic.network)
  if (direct !== undefined) return direct
  const isForeignId = nic.network.startsWith('net-') || (nic.network.includes('-') && nic.network.length > 30)
  const name = nic.network === '' || isForeignId ? 'default' : nic.network
  return lookUp(map, name) ?? { type: 'network', network: name }
}

/** The NIC of a checked request. VM_SPEC_INVALID for a limit on QEMU's own NAT, which knows none. */
export function planNic({ bandwidthMbps, ...nic }: NicSpec, map: NetworkMap): NicDefinition {
  const { id, macAddress, model } = nic
  const target = nicTarget(nic, map)
  if (!bandwidthMbps) return { id, macAddress, model, target }
  if (target.type !== 'user') return { id, macAddress, model, target, bandwidthMbps }
  throw new AgentError(
    'VM_SPEC_INVALID',
    `NIC ${id}: bandwidth can be limited on networks and bridges; its network is QEMU's own NAT on this host (hypervisor.networks)`,
  )
}

/** NETWORK_UNKNOWN when the host has no such libvirt network or bridge; OVS_ABSENT, OVS_UNAVAILABLE. */
export async function requireNetwork(target: NicTarget, libvirt: LibvirtCalls, ctx: OpContext): Promise<void> {
  if (target.type === 'bridge') await requireBridge(target.bridge)
  if (target.type === 'ovs') await new OpenVswitch().requireBridge(target.bridge, ctx.signal)
  if (target.type !== 'network') return
  try {
    await libvirt.call(
      'remote:NETWORK_LOOKUP_BY_NAME',
      { name: target.network },
      { timeoutMs: LOOKUP_TIMEOUT_MS, signal: ctx.signal },
    )
  } catch (error) {
    if (!isLibvirtError(error, VIR_ERR.NO_NETWORK)) throw fromLibvirt(error, `network ${target.network}`)
    throw new AgentError(
      'NETWORK_UNKNOWN',
      `libvirt has no network ${quote(target.network)} on this host; define it, or map it in the configuration (hypervisor.networks)`,
      { cause: error },
    )
  }
}

/** The network or bridge as `VmNic.network` tells it; empty for QEMU's own NAT. */
export function sourceName(target: NicTarget): string {
  if (target.type === 'user') return ''
  return target.type === 'network' ? target.network : target.bridge
}

function lookUp(map: NetworkMap, name: string): NicTarget | undefined {
  if (!Object.hasOwn(map, name)) return undefined
  const value = map[name] ?? ''
  if (value === 'user') return { type: 'user' }
  if (value.startsWith('bridge:')) return { type: 'bridge', bridge: value.slice('bridge:'.length) }
  const [, ovs, vlan] = /^ovs:([^:]+)(?::(\d+))?$/.exec(value) ?? []
  if (ovs !== undefined) return { type: 'ovs', bridge: ovs, ...(vlan === undefined ? {} : { vlan: Number(vlan) }) }
  return { type: 'network', network: value.replace(/^network:/, '') }
}

async function requireBridge(bridge: string): Promise<void> {
  try {
    // Only a bridge has this directory: with any other interface the VM would be defined and never start.
    await access(path.join('/sys/class/net', bridge, 'bridge'))
  } catch (error) {
    throw new AgentError('NETWORK_UNKNOWN', `this host has no bridge ${quote(bridge)}; create it or name another one`, {
      cause: error,
    })
  }
}
