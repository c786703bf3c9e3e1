import type { X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'

/** What is told of a certificate. Times are milliseconds since the epoch. */
export interface CertificateFacts {
  readonly subject: string
  readonly issuer: string
  readonly serialNumber: string
  /** SHA-256, hexadecimal with colons. */
  readonly fingerprint: string
  readonly notBefore: number
  readonly notAfter: number
  /** Host names and addresses it is good for. */
  readonly names: readonly string[]
  readonly selfSigned: boolean
}

/** The facts of a certificate. */
export function certificateFacts(certificate: X509Certificate): CertificateFacts {
  return {
    subject: oneLine(certificate.subject),
    issuer: oneLine(certificate.issuer),
    serialNumber: certificate.serialNumber,
    fingerprint: certificate.fingerprint256,
    notBefore: certificate.validFromDate.getTime(),
    notAfter: certificate.validToDate.getTime(),
    names: alternativeNames(certificate.subjectAltName, 'DNS', 'IP Address'),
    selfSigned: certificate.subject === certificate.issuer && certificate.verify(certificate.publicKey),
  }
}

/**
 * The alternative names of the given kinds in Node's text form of them (`DNS:a, IP Address:192.0.2.1`). Node quotes values that could be taken for more than
 * one; those count for nothing here.
 */
export function alternativeNames(text: string | undefined, ...kinds: readonly string[]): string[] {
  const plain = (text ?? '').replace(/"(?:[^"\\]|\\.)*"/g, '')
  return plain.split(', ').flatMap((entry) => {
    const kind = kinds.find((one) => entry.startsWith(`${one}:`))
    const value = kind === undefined ? '' : entry.slice(kind.length + 1)
    return value === '' ? [] : [value]
  })
}

/** True when the certificate may be used for every one of `names` (host names and addresses). */
export function coversNames(certificate: X509Certificate, names: readonly string[]): boolean {
  return names.every((name) =>
    isIP(name) !== 0
      ? certificate.checkIP(name) !== undefined
      : certificate.checkHost(name, { subject: 'never' }) !== undefined,
  )
}

function oneLine(name: string): string {
  return name.split('\n').join(', ')
}
