import { AgentError } from '../core/errors.ts'
import type { RouteInput } from './route.ts'

/** The token of an `Authorization: Bearer` header (RFC 6750); TOKEN_INVALID when there is none. */
export function bearerToken({ headers }: Pick<RouteInput<unknown, unknown, unknown>, 'headers'>): string {
  const given = headers['authorization']
  const token = typeof given === 'string' ? /^Bearer +(\S{1,200}) *$/i.exec(given)?.[1] : undefined
  if (token === undefined) {
    const text = 'the request has no registration token; send the header Authorization: Bearer <token>'
    throw new AgentError('TOKEN_INVALID', text)
  }
  return token
}

/** LOCAL_ONLY unless the caller came over the unix socket, which is root's alone. `command` is what does the same on the host. */
export function requireLocal({ local }: Pick<RouteInput<unknown, unknown, unknown>, 'local'>, command: string): void {
  if (local) return
  throw new AgentError('LOCAL_ONLY', `this is served only on the unix socket of the agent; run ${command} on the host`)
}
