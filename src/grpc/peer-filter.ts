import { ServerInterceptingCall, status, type ServerInterceptor } from '@grpc/grpc-js'

/** Ends calls of peers that `allowPeer` (given a bare IP address) refuses with PERMISSION_DENIED, before any handler sees them. Unix sockets are guarded by their file mode. */
export function peerFilter(allowPeer: (address: string) => boolean): ServerInterceptor {
  return (_method, call) => {
    const address = peerAddress(call.getPeer())
    if (address === undefined || allowPeer(address)) return new ServerInterceptingCall(call)
    return new ServerInterceptingCall(call, {
      start: () => {
        call.sendStatus({
          code: status.PERMISSION_DENIED,
          details: `${address} may not use this agent; see server.allow_from in its configuration`,
        })
      },
    })
  }
}

/** The address of grpc-js's peer text (`1.2.3.4:5`, `[::1]:5`, `::1:5`); undefined for a unix socket. */
export function peerAddress(peer: string): string | undefined {
  const at = peer.lastIndexOf(':')
  if (peer.startsWith('unix:') || at < 0) return undefined
  return peer.slice(0, at).replace(/^\[|\]$/g, '')
}
