import { AgentError, errorText } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import type { HttpsExchange, SmallAnswer, SmallRequest } from '../../platform/https-exchange.ts'
import { certificatesOfMessage } from '../../platform/openssl.ts'

const WELL_KNOWN = '/.well-known/est'
const MAX_WORDS = 300

/**
 * Where the operations of an EST server are (RFC 7030 3.2.2): a URL below `/.well-known/est` is taken as it is, with its label; of any other only the host and
 * the port count. INVALID_REQUEST unless it is https, because a token is sent there.
 */
export function estAddress(text: string): string {
  const url = URL.parse(text)
  if (url?.protocol !== 'https:' || url.username !== '' || url.search + url.hash !== '')
    throw new AgentError(
      'INVALID_REQUEST',
      `certificates are asked for over https only, not at ${quote(text)}; name the https address of an EST server`,
    )
  const path = url.pathname.replace(/\/+$/, '')
  return url.origin + (/^\/\.well-known\/est(\/[\w.~-]+)?$/.test(path) ? path : WELL_KNOWN)
}

/**
 * The operations of RFC 7030 that a host needs. Errors of each: ENROLMENT_UNAVAILABLE (no answer, 5xx), ENROLMENT_UNSUPPORTED (what answers does not know EST),
 * ENROLMENT_REFUSED (with its words), ENROLMENT_PENDING (202), the signal's reason.
 */
export class EstClient {
  readonly #http: HttpsExchange
  readonly #address: string

  /** `address` as `estAddress` gives it. */
  constructor(http: HttpsExchange, address: string) {
    this.#http = http
    this.#address = address
  }

  /** Certificates of the authorities (PEM), in no order. */
  async authorities(signal: AbortSignal): Promise<string[]> {
    return this.#certificates('cacerts', { method: 'GET' }, '', signal)
  }

  /** The certificate for a request (PEM), perhaps with others, in no order. The token is the password of the user `name` (RFC 7617). */
  async enrol(request: string, name: string, token: string, signal: AbortSignal): Promise<string[]> {
    const authorization = `Basic ${Buffer.from(`${name}:${token}`).toString('base64')}`
    return this.#certificates('simpleenroll', enrolment(request, { authorization }), token, signal)
  }

  /** As `enrol`, for the certificate that the exchange shows. */
  async renew(request: string, signal: AbortSignal): Promise<string[]> {
    return this.#certificates('simplereenroll', enrolment(request), '', signal)
  }

  async #certificates(
    operation: string,
    request: SmallRequest,
    secret: string,
    signal: AbortSignal,
  ): Promise<string[]> {
    const { host } = new URL(this.#address)
    let answer: SmallAnswer
    try {
      answer = await this.#http.exchange(`${this.#address}/${operation}`, request, signal)
    } catch (error) {
      signal.throwIfAborted()
      throw new AgentError('ENROLMENT_UNAVAILABLE', `${host} cannot be asked for certificates: ${errorText(error)}`, {
        cause: error,
      })
    }
    requireCertificates(host, answer, secret)
    try {
      return await certificatesOfMessage(Buffer.from(answer.text, 'base64'), signal)
    } catch (error) {
      signal.throwIfAborted()
      if (error instanceof AgentError && error.reason !== 'COMMAND_FAILED') throw error
      throw new AgentError('ENROLMENT_UNAVAILABLE', `${host} answered ${operation} with something that is no PKCS #7`)
    }
  }
}

function enrolment(request: string, headers: Readonly<Record<string, string>> = {}): SmallRequest {
  return {
    method: 'POST',
    headers: { 'content-type': 'application/pkcs10', 'content-transfer-encoding': 'base64', ...headers },
    // Base64 of the DER form: what is between the lines of the PEM form.
    body: request.replace(/-----[^-]+-----/g, '').trim(),
  }
}

function requireCertificates(host: string, { status, headers, text }: SmallAnswer, secret: string): void {
  const type = String(headers['content-type'] ?? '').toLowerCase()
  // A control plane that does not know the address may answer 200 with a page.
  if ([404, 405, 501].includes(status) || (status === 200 && !type.startsWith('application/pkcs7-mime')))
    throw new AgentError('ENROLMENT_UNSUPPORTED', `${host} signs no certificates (HTTP ${status})`)
  if (status === 200) return
  if (status === 202) {
    const after = String(headers['retry-after'] ?? '')
    const when = /^\d{1,9}$/.test(after) ? ` in ${after} s` : ' later'
    throw new AgentError('ENROLMENT_PENDING', `${host} has not signed the certificate yet; ask again${when}`)
  }
  const plain = text.replace(/[\p{Cc}\s]+/gu, ' ').trim()
  const words = (secret === '' ? plain : plain.replaceAll(secret, '***')).slice(0, MAX_WORDS)
  const said = `HTTP ${status}${words === '' ? '' : `: ${words}`}`
  if (status >= 500 || status === 429 || status < 400)
    throw new AgentError('ENROLMENT_UNAVAILABLE', `${host} answered with ${said}`)
  throw new AgentError('ENROLMENT_REFUSED', `${host} refuses: ${said}`)
}
