import { isIP } from 'node:net'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { InterfaceAddresses } from './nics.ts'

const VIRTUAL = /^(virbr|vnet|veth|docker|podman|cni|flannel|cali|cilium|kube|lxc|lxd|tap|tun|wg|ifb|dummy|ovs-|genev)/

// Preference by kind of interface; the first match counts.
const RANKS: readonly (readonly [RegExp, number])[] = [
  [VIRTUAL, -10],
  [/^(eth|en[opsx]|em\d)/, 100],
  [/^(bond|team)/, 90],
  [/^wl/, 80],
  [/^ib/, 70],
  [/^br/, 20],
]
const RANK_OTHER = 50

/**
 * The address that the control plane is to reach this host at: the configured one (an IP; a port or prefix length is cut off; CONFIG_INVALID otherwise), else
 * the IPv4 address of the interface of the best kind, names in natural order. undefined when there is none. Loopback, link-local and libvirt's default NAT
 * network never count.
 */
export function managementAddress(addresses: InterfaceAddresses, configured = ''): string | undefined {
  if (configured !== '') return parseConfigured(configured)
  let best: { rank: number; name: string; address: string } | undefined
  for (const name of Object.keys(addresses).sort(byNaturalOrder)) {
    const address = addresses[name]?.find((info) => info.family === 'IPv4' && !info.internal && isUsable(info.address))
    const rank = RANKS.find(([pattern]) => pattern.test(name))?.[1] ?? RANK_OTHER
    if (address !== undefined && (best === undefined || rank > best.rank))
      best = { rank, name, address: address.address }
  }
  return best?.address
}

/** The IP address of a configured management address, without its port or prefix length; undefined when it is none. */
export function bareAddress(text: string): string | undefined {
  const bare = text.replace(/\/\d+$/, '').replace(/^([^:]+):\d+$/, '$1')
  return isIP(bare) === 0 ? undefined : bare
}

function parseConfigured(text: string): string {
  const bare = bareAddress(text)
  if (bare === undefined)
    throw new AgentError('CONFIG_INVALID', `node.management_ip: ${quote(text)} is not an IP address`)
  return bare
}

function isUsable(address: string): boolean {
  return !/^(127\.|169\.254\.|192\.168\.122\.|0\.)/.test(address)
}

function byNaturalOrder(a: string, b: string): number {
  return a.localeCompare(b, 'en', { numeric: true })
}
