import { isIP } from 'node:net'

/** Where a relay listens, and for whom. */
export interface RelayPlace {
  readonly listenAddress: string
  readonly isCaller: (address: string) => boolean
}

/**
 * The place of a relay for a caller at `caller` (an IP address; undefined for the unix socket). A caller on this host gets one on loopback, which nobody else reaches; every other one
 * gets one on the management address. Undefined when that is not known.
 */
export function relayPlace(caller: string | undefined, managementAddress: string): RelayPlace | undefined {
  const peer = caller?.replace(/^::ffff:/, '')
  if (peer === undefined || isLoopback(peer)) {
    const listenAddress = isLoopback(managementAddress) ? managementAddress : '127.0.0.1'
    return { listenAddress, isCaller: isLoopback }
  }
  if (isIP(managementAddress) === 0) return undefined
  return { listenAddress: managementAddress, isCaller: (address) => address === peer }
}

const isLoopback = (address: string) => address === '::1' || /^127\./.test(address)
