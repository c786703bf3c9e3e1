import { generateKeyPairSync } from 'node:crypto'
import { isIP } from 'node:net'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { run } from './exec.ts'

/** Whom a certificate is for. */
export interface CertificateSubject {
  readonly commonName: string
  /** Host names and IP addresses, for the subject alternative name; at least one. */
  readonly names: readonly string[]
}

/** A new private key (PKCS #8) with the certificate or signing request that belongs to it; all PEM. */
export interface MadeKey {
  readonly key: string
  readonly text: string
}

const TIMEOUT_MS = 20_000
// RFC 5280, ub-common-name.
const MAX_COMMON_NAME = 64

/** Makes an EC P-256 key and a certificate that it signs itself, good for `days`, for servers and clients. INVALID_NAME; errors of `run`. */
export function makeSelfSigned(subject: CertificateSubject, days: number, signal: AbortSignal): Promise<MadeKey> {
  // Not before: an hour of grace would need openssl 3.4; clients whose clock is behind wait.
  const extensions = ['basicConstraints=critical,CA:FALSE', 'extendedKeyUsage=serverAuth,clientAuth']
  return make(['-x509', '-days', String(days)], subject, extensions, signal)
}

/** Makes an EC P-256 key and a certificate signing request (PKCS #10) for it. INVALID_NAME; errors of `run`. */
export function makeRequest(subject: CertificateSubject, signal: AbortSignal): Promise<MadeKey> {
  return make(['-new'], subject, [], signal)
}

/** A new EC P-256 key (PKCS #8, PEM). */
export function makeKey(): string {
  const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  return privateKey.export({ type: 'pkcs8', format: 'pem' }).toString()
}

/** A signing request (PKCS #10, PEM) for the key in a file. INVALID_NAME; errors of `run`. */
export async function requestForKey(
  keyFile: string,
  { commonName, names }: CertificateSubject,
  signal: AbortSignal,
): Promise<string> {
  const subject = [
    '-subj',
    subjectText(commonName),
    '-addext',
    `subjectAltName=${names.map(alternativeName).join(',')}`,
  ]
  return requestWith(['req', '-new', '-key', keyFile, '-sha256', '-config', '/dev/null', ...subject], signal)
}

/** A signing request for the key in a file, with subject and extensions of the certificate in a file: what RFC 7030 4.2.2 wants of renewals. Errors of `run`. */
export async function renewalRequest(keyFile: string, certificateFile: string, signal: AbortSignal): Promise<string> {
  const args = ['x509', '-x509toreq', '-in', certificateFile, '-copy_extensions', 'copy', '-signkey', keyFile]
  return requestWith(args, signal)
}

/** The certificates in a PKCS #7 message without content (DER), PEM each, in no order. Errors of `run`. */
export async function certificatesOfMessage(der: Uint8Array, signal: AbortSignal): Promise<string[]> {
  const args = ['pkcs7', '-inform', 'DER', '-print_certs']
  const { stdout } = await run({ file: 'openssl', args, package: 'openssl', input: der, timeoutMs: TIMEOUT_MS }, signal)
  return stdout.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g) ?? []
}

async function requestWith(args: readonly string[], signal: AbortSignal): Promise<string> {
  const { stdout } = await run({ file: 'openssl', args, package: 'openssl', timeoutMs: TIMEOUT_MS }, signal)
  const text = /-----BEGIN CERTIFICATE REQUEST-----[^-]+-----END CERTIFICATE REQUEST-----/.exec(stdout)?.[0]
  if (text === undefined) throw new AgentError('COMMAND_FAILED', `openssl ${args[0]} printed no signing request`)
  return `${text}\n`
}

// The key comes through a pipe: it is in no file until its owner writes it.
async function make(
  kind: readonly string[],
  { commonName, names }: CertificateSubject,
  extensions: readonly string[],
  signal: AbortSignal,
): Promise<MadeKey> {
  const { stdout } = await run(
    {
      file: 'openssl',
      args: [
        'req',
        ...kind,
        ...['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-noenc', '-sha256', '-config', '/dev/null'],
        ...['-subj', subjectText(commonName), '-addext', `subjectAltName=${names.map(alternativeName).join(',')}`],
        ...extensions.flatMap((extension) => ['-addext', extension]),
        ...['-keyout', '-', '-out', '-'],
      ],
      package: 'openssl',
      timeoutMs: TIMEOUT_MS,
    },
    signal,
  )
  const blocks = stdout.match(/-----BEGIN ([A-Z ]+)-----[^-]+-----END \1-----/g) ?? []
  const key = blocks.find((block) => block.includes('PRIVATE KEY'))
  const text = blocks.find((block) => !block.includes('PRIVATE KEY'))
  if (key === undefined || text === undefined)
    throw new AgentError('COMMAND_FAILED', 'openssl req printed no key or no certificate')
  return { key: `${key}\n`, text: `${text}\n` }
}

/** True for text that may stand as the common name of a certificate. */
export function isCommonName(text: string): boolean {
  return /^[A-Za-z0-9*.:_@-][A-Za-z0-9*.:_@ -]*$/.test(text)
}

function subjectText(commonName: string): string {
  if (!isCommonName(commonName))
    throw new AgentError('INVALID_NAME', `${quote(commonName)} cannot be the common name of a certificate`)
  return `/CN=${commonName.slice(0, MAX_COMMON_NAME)}`
}

function alternativeName(name: string): string {
  if (isIP(name) !== 0) return `IP:${name}`
  if (!/^[A-Za-z0-9*._-]{1,253}$/.test(name))
    throw new AgentError('INVALID_NAME', `${quote(name)} is no host name or address that a certificate can carry`)
  return `DNS:${name}`
}
