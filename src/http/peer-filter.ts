import type { Server } from 'node:http'
import type { Socket } from 'node:net'

/**
 * Cuts connections to a TCP listener off when `allowPeer` (given an IP address; everybody when absent) refuses their peer, and when that has no address: who resets a connection
 * before it is accepted is known by nothing, but what it sent would still be read.
 */
export function filterPeers(server: Server, allowPeer: (address: string) => boolean = () => true): void {
  const filter = (socket: Socket) => {
    const { remoteAddress } = socket
    if (remoteAddress === undefined || !allowPeer(remoteAddress)) socket.destroy()
  }
  server.on('connection', filter)
  // The socket within TLS asks for the address itself; both keep what they were told first.
  server.on('secureConnection', filter)
}
