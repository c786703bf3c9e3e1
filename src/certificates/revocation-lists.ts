import { readFile } from 'node:fs/promises'
import { createSecureContext } from 'node:tls'
import { AgentError, errorText } from '../core/errors.ts'
import { run } from '../platform/exec.ts'

/** One list of revoked certificates (RFC 5280 5). */
export interface RevocationList {
  readonly pem: string
  readonly issuer: string
  /** Milliseconds since the epoch; afterwards TLS believes no certificate of this authority. Undefined when the list does not say. */
  readonly nextUpdate: number | undefined
}

const LIST = /-----BEGIN X509 CRL-----[^-]+-----END X509 CRL-----/g
const MAX_BYTES = 16 * 1024 * 1024
const TIMEOUT_MS = 10_000

/** The lists in a PEM file, at least one. CERTIFICATE_INVALID: an absent file is one that revokes nobody by mistake. */
export async function readRevocationLists(file: string, signal: AbortSignal): Promise<RevocationList[]> {
  const text = await readFile(file, 'utf8').catch((error: unknown) => {
    throw invalid(`server.http.tls.crl_path ${file} cannot be read: ${errorText(error)}`)
  })
  if (text.length > MAX_BYTES) throw invalid(`${file} is longer than any list of revoked certificates`)
  const blocks = text.match(LIST) ?? []
  if (blocks.length === 0) throw invalid(`${file} has no list of revoked certificates in it; give it as PEM (X509 CRL)`)
  return Promise.all(blocks.map((pem) => readList(pem, file, signal)))
}

async function readList(pem: string, file: string, signal: AbortSignal): Promise<RevocationList> {
  try {
    createSecureContext({ crl: pem })
  } catch {
    throw invalid(`${file} has a list in it that cannot be read`)
  }
  const args = ['crl', '-noout', '-issuer', '-nextupdate', '-nameopt', 'RFC2253,sep_comma_plus_space']
  const { stdout } = await run({ file: 'openssl', args, package: 'openssl', input: pem, timeoutMs: TIMEOUT_MS }, signal)
  const field = (name: string) => new RegExp(`^${name}=(.*)$`, 'm').exec(stdout)?.[1]?.trim()
  const nextUpdate = Date.parse(field('nextUpdate') ?? '')
  return { pem, issuer: field('issuer') ?? '', nextUpdate: Number.isNaN(nextUpdate) ? undefined : nextUpdate }
}

function invalid(text: string): AgentError {
  return new AgentError('CERTIFICATE_INVALID', text)
}
