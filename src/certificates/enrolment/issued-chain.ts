import { createPrivateKey, X509Certificate } from 'node:crypto'
import { AgentError, toAgentError } from '../../core/errors.ts'
import { coversNames } from '../certificate-facts.ts'
import { requireValidity } from '../server-identity.ts'

export interface IssuedFor {
  /** PEM. */
  readonly key: string
  /** Host names and addresses that the certificate has to be good for. */
  readonly names: readonly string[]
  /** One of them has to be at the end of the chain. */
  readonly authorities: readonly X509Certificate[]
}

// RFC 5280 4.2.1.12.
const SERVER_AUTH = '1.3.6.1.5.5.7.3.1'
const CLIENT_AUTH = '1.3.6.1.5.5.7.3.2'
const MAX_LENGTH = 8

/**
 * Of certificates in any order the one for the key, followed by those that lead to one of the authorities (which is not in it); PEM. ENROLMENT_BAD_ANSWER unless
 * it fits the key, has all names, is good now, may be used by servers and clients, and every signature up to the authority holds.
 */
export function issuedChain(pems: readonly string[], { key, names, authorities }: IssuedFor): string {
  const given = pems.map(parse)
  const privateKey = createPrivateKey(key)
  const leaf = given.find((certificate) => certificate.checkPrivateKey(privateKey))
  if (leaf === undefined) throw bad('none of the certificates that came back is for the key of this host')
  if (leaf.ca) throw bad('the certificate that came back is that of an authority')
  if (!coversNames(leaf, names)) throw bad(`the certificate that came back is not good for all of ${names.join(', ')}`)
  // Typed as always there; absent means any use.
  const uses = leaf.keyUsage as string[] | undefined
  if (uses !== undefined && ![SERVER_AUTH, CLIENT_AUTH].every((use) => uses.includes(use)))
    throw bad(
      'the certificate that came back may not be used by servers and clients alike, so it could not renew itself',
    )
  const chain = [leaf]
  for (let last = leaf; chain.length <= MAX_LENGTH;) {
    requireGood(last)
    const authority = authorities.find((one) => isIssuedBy(last, one))
    if (authority !== undefined) {
      requireGood(authority)
      return chain.map(String).join('')
    }
    const issuer = given.find((one) => one.ca && !chain.includes(one) && isIssuedBy(last, one))
    if (issuer === undefined) break
    chain.push(issuer)
    last = issuer
  }
  throw bad('the certificate that came back does not lead to the authority that this host was told to believe')
}

function isIssuedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
}

function requireGood(certificate: X509Certificate): void {
  try {
    requireValidity(certificate, 'the chain that came back')
  } catch (error) {
    throw bad(toAgentError(error).message)
  }
}

function parse(pem: string): X509Certificate {
  try {
    return new X509Certificate(pem)
  } catch {
    throw bad('a certificate that came back cannot be read')
  }
}

function bad(text: string): AgentError {
  return new AgentError('ENROLMENT_BAD_ANSWER', text)
}
