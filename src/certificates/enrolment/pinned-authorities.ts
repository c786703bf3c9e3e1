import { X509Certificate } from 'node:crypto'
import { AgentError } from '../../core/errors.ts'
import { readAuthorities } from '../server-identity.ts'

/** What a host was told to believe. */
export interface AuthorityPin {
  /** The authority itself (PEM). */
  readonly authorities?: string
  /** The SHA-256 of its certificate. */
  readonly fingerprint?: string
}

/**
 * The authorities of a pin; without one those in use. `ask` gets what the server calls its authorities, before the server has proved anything (RFC 7030 4.1.1): a
 * certificate with the wanted fingerprint can be only the one that is meant. INVALID_REQUEST, CERTIFICATE_INVALID, ENROLMENT_BAD_ANSWER, errors of `ask`.
 */
export async function pinnedAuthorities(
  { authorities, fingerprint }: AuthorityPin,
  inUse: readonly X509Certificate[],
  ask: () => Promise<readonly string[]>,
): Promise<readonly X509Certificate[]> {
  if (authorities !== undefined && fingerprint !== undefined)
    throw new AgentError('INVALID_REQUEST', 'give the authority or its fingerprint, not both')
  if (authorities !== undefined) return readAuthorities(authorities, 'the authority')
  if (fingerprint === undefined) {
    if (inUse.length > 0) return inUse
    throw new AgentError(
      'INVALID_REQUEST',
      'this host believes no authority yet; give the one of the cluster, or the SHA-256 fingerprint of its certificate',
    )
  }
  const wanted = hexadecimal(fingerprint.replace(/^sha-?256[:=]/i, ''))
  if (!/^[0-9a-f]{64}$/.test(wanted))
    throw new AgentError('INVALID_REQUEST', 'the fingerprint has to be a SHA-256: 64 hexadecimal digits')
  const found = (await ask()).find((pem) => hexadecimal(new X509Certificate(pem).fingerprint256) === wanted)
  if (found === undefined)
    throw new AgentError('ENROLMENT_BAD_ANSWER', 'the server has no authority with the given fingerprint')
  return readAuthorities(found, 'the authority')
}

function hexadecimal(fingerprint: string): string {
  return fingerprint.replaceAll(':', '').toLowerCase()
}
