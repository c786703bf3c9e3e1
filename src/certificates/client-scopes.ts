import type { PeerCertificate } from 'node:tls'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { alternativeNames } from './certificate-facts.ts'

/** What certificates of clients can allow. `vm` and `storage` include `read`; `admin` includes all. */
export const SCOPES = ['read', 'vm', 'storage', 'admin'] as const
export type Scope = (typeof SCOPES)[number]

/** Who calls, by its certificate. */
export interface ClientIdentity {
  /** The common name; for logs. */
  readonly name: string
  readonly scopes: readonly Scope[]
  /** Milliseconds since the epoch. */
  readonly notAfter: number
}

const INCLUDED: Readonly<Record<Scope, readonly Scope[]>> = {
  read: ['read'],
  vm: ['vm', 'read'],
  storage: ['storage', 'read'],
  admin: SCOPES,
}
const SCOPE_URI = 'urn:limiquantix:scope:'

/**
 * Reads a certificate that TLS has verified: a scope is an organisational unit (OU) or an alternative name `URI:urn:limiquantix:scope:<name>`; words that are
 * no scope count for nothing.
 */
export function clientIdentity(peer: Pick<PeerCertificate, 'subject' | 'subjectaltname' | 'valid_to'>): ClientIdentity {
  const { OU: units, CN: name } = peer.subject as { OU?: string | string[]; CN?: string | string[] }
  const uris = alternativeNames(peer.subjectaltname, 'URI')
  const named = [
    ...[units ?? []].flat(),
    ...uris.flatMap((uri) => (uri.startsWith(SCOPE_URI) ? [uri.slice(SCOPE_URI.length)] : [])),
  ]
  return {
    name: [name ?? []].flat()[0] ?? '',
    scopes: SCOPES.filter((scope) => SCOPES.some((given) => named.includes(given) && INCLUDED[given].includes(scope))),
    notAfter: Date.parse(peer.valid_to),
  }
}

/**
 * Lets a call through or throws: CLIENT_CERTIFICATE_MISSING without a verified certificate, CLIENT_CERTIFICATE_EXPIRED when its time ended since the connection
 * was made, SCOPE_UNKNOWN when the tables have no scope for the call, SCOPE_MISSING when the certificate does not have it. `call` names the call.
 */
export function requireScope(client: ClientIdentity | undefined, scope: Scope | undefined, call: string): void {
  if (client === undefined)
    throw new AgentError('CLIENT_CERTIFICATE_MISSING', `${call} needs a client certificate of the cluster's authority`)
  const who = `the certificate of ${quote(client.name)}`
  // Not a number compares as expired too.
  if (!(client.notAfter > Date.now()))
    throw new AgentError('CLIENT_CERTIFICATE_EXPIRED', `${who} has expired; connect with a new one`)
  if (scope === undefined)
    throw new AgentError('SCOPE_UNKNOWN', `no scope allows ${call}; it is served on the unix socket of the agent only`)
  if (!client.scopes.includes(scope))
    throw new AgentError(
      'SCOPE_MISSING',
      `${call} needs the scope ${scope}; ${who} has ${client.scopes.join(', ') || 'none'}`,
    )
}
