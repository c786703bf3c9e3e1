import { createPrivateKey, X509Certificate, type KeyObject } from 'node:crypto'
import { createSecureContext } from 'node:tls'
import { AgentError, errorText } from '../core/errors.ts'

/** A private key with its certificate and those that lead to its authority: what a TLS server shows. */
export interface ServerIdentity {
  /** PEM, unencrypted. Never told to anybody. */
  readonly key: string
  /** PEM, the server's own certificate first. */
  readonly chain: string
  readonly certificate: X509Certificate
}

const MAX_PEM_BYTES = 256 * 1024
const CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g

/**
 * Reads key and chain and checks that they belong together, that each certificate of the chain was issued by the next, and that TLS takes them. `where` names
 * both in messages. CERTIFICATE_INVALID; the text never quotes what was given.
 */
export function readIdentity(chain: string, key: string, where: { chain: string; key: string }): ServerIdentity {
  const certificates = readCertificates(chain, where.chain)
  const [leaf, ...issuers] = certificates
  if (leaf === undefined) throw invalid(`${where.chain} has no certificate in it; give it as PEM`)
  if (!leaf.checkPrivateKey(readKey(key, where.key)))
    throw invalid(`${where.key} is not the private key of the first certificate in ${where.chain}`)
  let last = leaf
  for (const issuer of issuers) {
    if (!last.checkIssued(issuer) || !last.verify(issuer.publicKey))
      throw invalid(
        `${where.chain}: the certificate of ${nameOf(issuer)} did not issue the one before it; put the server's own certificate first, each followed by its issuer`,
      )
    last = issuer
  }
  const pem = certificates.map(String).join('')
  try {
    createSecureContext({ key, cert: pem })
  } catch (error) {
    throw invalid(`${where.chain} cannot be used for TLS: ${errorText(error)}`)
  }
  return { key, chain: pem, certificate: leaf }
}

/** The certificates of authorities in a PEM file; at least one. CERTIFICATE_INVALID. */
export function readAuthorities(pem: string, where: string): X509Certificate[] {
  const authorities = readCertificates(pem, where)
  if (authorities.length === 0) throw invalid(`${where} has no certificate in it; give it as PEM`)
  const other = authorities.find(({ ca }) => !ca)
  if (other !== undefined) throw invalid(`${where}: the certificate of ${nameOf(other)} is not that of an authority`)
  return authorities
}

/** CERTIFICATE_EXPIRED unless `now` is within the validity of the certificate. */
export function requireValidity(certificate: X509Certificate, where: string, now = Date.now()): void {
  if (certificate.validToDate.getTime() <= now)
    throw new AgentError(
      'CERTIFICATE_EXPIRED',
      `${where}: the certificate of ${nameOf(certificate)} was good until ${certificate.validToDate.toISOString()}`,
    )
  if (certificate.validFromDate.getTime() > now)
    throw new AgentError(
      'CERTIFICATE_EXPIRED',
      `${where}: the certificate of ${nameOf(certificate)} is good only from ${certificate.validFromDate.toISOString()} on; compare the clocks`,
    )
}

function readCertificates(pem: string, where: string): X509Certificate[] {
  if (Buffer.byteLength(pem) > MAX_PEM_BYTES) throw invalid(`${where} is longer than any chain of certificates`)
  return (pem.match(CERTIFICATE) ?? []).map((block) => {
    try {
      return new X509Certificate(block)
    } catch {
      throw invalid(`${where} has a certificate in it that cannot be read`)
    }
  })
}

function readKey(pem: string, where: string): KeyObject {
  if (/ENCRYPTED/.test(pem))
    throw invalid(`${where} is protected by a passphrase; give it without one, readable by root alone`)
  try {
    return createPrivateKey(pem)
  } catch {
    throw invalid(`${where} is not a private key in PEM form`)
  }
}

function nameOf({ subject }: X509Certificate): string {
  return subject.split('\n').at(-1) ?? '(no name)'
}

function invalid(text: string): AgentError {
  return new AgentError('CERTIFICATE_INVALID', text)
}
