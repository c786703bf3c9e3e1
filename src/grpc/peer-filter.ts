import { ServerInterceptingCall, status, type ServerInterceptor } from '@grpc/grpc-js'

/**
 * Ends calls over TCP of peers that `allowPeer` (given a bare IP address) refuses with PERMISSION_DENIED, before any handler sees them; also those of peers without an address: who
 * resets a connection before it is accepted is known by nothing, but its calls would still be served.
 */
export function peerFilter(allowPeer: (address: string) => boolean): ServerInterceptor {
  return (_method, call) => {
    const address = peerAddress(call.getPeer())
    if (address !== undefined && allowPeer(address)) return new ServerInterceptingCall(call)
    return new ServerInterceptingCall(call, {
      start: () => {
        call.sendStatus({
          code: status.PERMISSION_DENIED,
          details: `${address ?? 'a peer without an address'} may not use this agent; see server.allow_from in its configuration`,
        })
      },
    })
  }
}

const LOCAL_PEER = 'unix:'

/** For listeners on unix sockets, which their file mode guards: gives their calls a peer of their own. For grpc-js it is `unknown`, as one over TCP that is gone. */
export const localPeers: ServerInterceptor = (_method, call) => new LocalCall(call)

class LocalCall extends ServerInterceptingCall {
  override getPeer(): string {
    return LOCAL_PEER
  }
}

/** Whether a call came over a unix socket, by the peer text of the call. */
export function isLocalPeer(peer: string): boolean {
  return peer === LOCAL_PEER
}

/** The address of grpc-js's peer text (`1.2.3.4:5`, `[::1]:5`, `::1:5`); undefined for a unix socket, and for a peer that is gone. */
export function peerAddress(peer: string): string | undefined {
  const at = peer.lastIndexOf(':')
  if (isLocalPeer(peer) || at < 0) return undefined
  return peer.slice(0, at).replace(/^\[|\]$/g, '')
}
