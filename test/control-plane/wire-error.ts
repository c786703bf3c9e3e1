import type { AgentError } from '../../src/core/errors.ts'
import { toStatus } from '../../src/grpc/status.ts'
import { goName } from './node-client.ts'

/** The text of a failed call of an agent as a control plane on grpc-go sees it. */
export function onTheWire(error: AgentError): string {
  const { code, details } = toStatus(error, 'request')
  return `rpc error: code = ${goName(code)} desc = ${details}`
}
