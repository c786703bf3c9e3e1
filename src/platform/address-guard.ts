import { BlockList, isIP, isIPv6 } from 'node:net'

/** Everything that is not the public internet (IANA special-purpose registries, RFC 6890 and successors). */
const REFUSED: readonly (readonly [address: string, prefix: number])[] = [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 4],
  ['240.0.0.0', 4],
  ['::', 96],
  ['100::', 64],
  ['2001::', 23],
  ['2001:db8::', 32],
  ['3fff::', 20],
  ['5f00::', 16],
  ['fc00::', 7],
  ['fe80::', 10],
  ['fec0::', 10],
  ['ff00::', 8],
]

const blocked = new BlockList()
for (const [address, prefix] of REFUSED) {
  blocked.addSubnet(address, prefix, isIPv6(address) ? 'ipv6' : 'ipv4')
}

/** True when the IP `address` is on the public internet. Names and malformed addresses are not; IPv4 inside IPv6 (mapped, NAT64, 6to4) is judged as IPv4. */
export function isPublicAddress(address: string): boolean {
  const family = isIP(address)
  if (family === 0 || address.includes('%')) return false
  if (family === 4) return !blocked.check(address, 'ipv4')
  const groups = ipv6Groups(address)
  const embedded = embeddedIpv4(groups)
  if (embedded !== undefined) return isPublicAddress(embedded)
  return !blocked.check(address, 'ipv6')
}

function embeddedIpv4(g: readonly number[]): string | undefined {
  const zeros = (from: number, to: number) => g.slice(from, to).every((group) => group === 0)
  const quad = (high: number, low: number) => [high >> 8, high & 255, low >> 8, low & 255].join('.')
  if (zeros(0, 5) && g[5] === 0xffff) return quad(g[6] ?? 0, g[7] ?? 0)
  if (g[0] === 0x64 && g[1] === 0xff9b && zeros(2, 6)) return quad(g[6] ?? 0, g[7] ?? 0)
  if (g[0] === 0x2002) return quad(g[1] ?? 0, g[2] ?? 0)
  return undefined
}

// The eight groups of a valid IPv6 address; URL's own parser writes it in the canonical form first.
function ipv6Groups(address: string): number[] {
  const canonical = new URL(`http://[${address}]/`).hostname.slice(1, -1)
  const [head = '', tail] = canonical.split('::')
  const parse = (text: string) => (text === '' ? [] : text.split(':').map((group) => parseInt(group, 16)))
  const left = parse(head)
  if (tail === undefined) return left
  const right = parse(tail)
  return [...left, ...new Array<number>(8 - left.length - right.length).fill(0), ...right]
}
