import { AgentError } from '../core/errors.ts'
import { parseUuid } from '../core/ids.ts'
import type { Services } from '../services/contracts.ts'
import { unary, type CallEnvironment } from './call.ts'
import type { NodeDaemonServiceHandlers } from './gen/limiquantix/node/v1/NodeDaemonService.ts'
import { isLocalPeer, peerAddress } from './peer-filter.ts'

/** Consoles of VMs. Who gets one is told of in the audit log. */
export function consoleHandlers({ consoles }: Services, env: CallEnvironment) {
  return {
    GetConsole: unary(env, { name: 'GetConsole', changes: true }, async ({ vmId }: { vmId: string }, signal, peer) => {
      const address = peerAddress(peer)
      // A relay takes connections of the one who asked only.
      if (address === undefined && !isLocalPeer(peer)) throw new AgentError('CANCELLED', 'the caller went away')
      const place = await consoles.open(parseUuid(vmId, 'vm_id'), address, signal)
      // Control planes bridge to the port themselves.
      return { ...place, websocketPath: '' }
    }),
  } satisfies Partial<NodeDaemonServiceHandlers>
}
