import { readFile } from 'node:fs/promises'
import { getCACertificates } from 'node:tls'
import { AgentError, errorText } from '../core/errors.ts'
import { readTextIfPresent } from './files.ts'

/** Where Debian keeps what update-ca-certificates(8) collects. */
const HOST_STORE = '/etc/ssl/certs/ca-certificates.crt'

let common: Promise<string[]> | undefined

/**
 * The authorities that HTTPS servers are believed by: those of Node, of NODE_EXTRA_CA_CERTS, of the host's store, and of `caFile` (read each time: certificates are renewed). CONFIG_INVALID when that cannot be
 * read.
 */
export async function trustedAuthorities(caFile: string | undefined): Promise<string[]> {
  common ??= readCommon()
  const authorities = await common
  if (caFile === undefined) return authorities
  try {
    return [...authorities, await readFile(caFile, 'utf8')]
  } catch (error) {
    throw new AgentError('CONFIG_INVALID', `images.ca_file ${caFile} cannot be read: ${errorText(error)}`)
  }
}

async function readCommon(): Promise<string[]> {
  const host = await readTextIfPresent(process.env['SSL_CERT_FILE'] ?? HOST_STORE)
  return [...getCACertificates('default'), ...(host === undefined ? [] : [host])]
}
