import { execFile } from 'node:child_process'
import { createPublicKey, X509Certificate } from 'node:crypto'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { tmpdir } from 'node:os'
import path from 'node:path'
import type { TLSSocket } from 'node:tls'
import { promisify } from 'node:util'
import type { TestAuthority } from '../support/test-authority.ts'

const run = promisify(execFile)

export interface EstAuthorityOptions {
  readonly authority: TestAuthority
  /** One-time tokens; one is bound to the first key that it was used for. */
  readonly tokens: Iterable<string>
  /** Alternative names of what is signed, in place of those of the request. */
  readonly altNames?: string
  readonly days?: number
}

/** The enrolment part of a control plane (RFC 7030), with a real authority. */
export class EstAuthority {
  readonly #options: EstAuthorityOptions
  readonly #tokens: Map<string, string>
  /** Operations that were asked for, with the status of the answer. */
  readonly log: string[] = []
  /** Signs nothing yet (202). */
  busy = false
  /** Called with the request of a signature in hand, and again when its answer is on the way. */
  onSigning: (point: 'asked' | 'answered') => void | Promise<void> = () => undefined
  /** What the next ones are signed with. */
  wish: { altNames?: string; days?: number; authority?: TestAuthority } = {}

  constructor(options: EstAuthorityOptions) {
    this.#options = options
    this.#tokens = new Map([...options.tokens].map((token) => [token, '']))
  }

  /** Answers a request below /.well-known/est; false for any other. */
  async handle(request: IncomingMessage, response: ServerResponse): Promise<boolean> {
    const operation = /^\/\.well-known\/est\/(\w+)$/.exec(request.url ?? '')?.[1]
    if (operation === undefined) return false
    const chunks: Buffer[] = []
    for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
    if (operation !== 'cacerts') await this.onSigning('asked')
    const [status, body] = await this.#answer(operation, request, Buffer.concat(chunks).toString())
    this.log.push(`${operation} ${status}`)
    const bag = status === 200
    response.writeHead(status, {
      ...(bag ? { 'content-type': 'application/pkcs7-mime; smime-type=certs-only' } : { 'content-type': 'text/plain' }),
      ...(bag ? { 'content-transfer-encoding': 'base64' } : {}),
      ...(status === 202 ? { 'retry-after': '1' } : {}),
      ...(status === 401 ? { 'www-authenticate': 'Basic realm="estrealm"' } : {}),
    })
    response.end(body)
    if (operation !== 'cacerts') await this.onSigning('answered')
    return true
  }

  async #answer(operation: string, request: IncomingMessage, body: string): Promise<[number, string]> {
    const { authority } = this.#options
    if (operation === 'cacerts') return [200, await bagOf(authority.cert)]
    const pem = `-----BEGIN CERTIFICATE REQUEST-----\n${body.trim()}\n-----END CERTIFICATE REQUEST-----\n`
    const asked = await readRequest(pem)
    if (asked === undefined) return [400, 'that is no signing request']
    if (operation === 'simplereenroll') {
      const socket = request.socket as TLSSocket
      if (!socket.authorized) return [401, `no certificate of this authority: ${String(socket.authorizationError)}`]
      const shown = new X509Certificate(socket.getPeerCertificate().raw)
      const subject = shown.subject.split('\n').join(', ')
      if (subject !== asked.subject || shown.subjectAltName !== asked.altNames)
        return [
          400,
          `a renewal has to be for ${subject} ${shown.subjectAltName}, not ${asked.subject} ${asked.altNames}`,
        ]
    } else if (operation === 'simpleenroll') {
      const [, given = ''] = /^Basic (\S+)$/.exec(request.headers.authorization ?? '') ?? []
      const credentials = Buffer.from(given, 'base64').toString()
      const token = credentials.slice(credentials.indexOf(':') + 1)
      const bound = this.#tokens.get(token)
      // An echo, to see whether it gets into a log somewhere.
      if (bound === undefined || (bound !== '' && bound !== asked.key)) return [401, `the token ${token} is not valid`]
      this.#tokens.set(token, asked.key)
    } else return [404, 'not here']
    if (this.busy) return [202, '']
    const { altNames = this.#options.altNames, days = this.#options.days, authority: signer = authority } = this.wish
    const names = altNames ?? asked.altNames.replaceAll('IP Address:', 'IP:').replaceAll(' ', '')
    return [200, await bagOf(await signer.sign(pem, { altNames: names, ...(days === undefined ? {} : { days }) }))]
  }
}

async function bagOf(...certificates: readonly string[]): Promise<string> {
  const directory = await mkdtemp(path.join(tmpdir(), 'lqx-est-'))
  try {
    const file = path.join(directory, 'certificates')
    await writeFile(file, certificates.join(''))
    const { stdout } = await run('openssl', ['crl2pkcs7', '-nocrl', '-certfile', file, '-outform', 'PEM'])
    return stdout.replace(/-----[^-]+-----/g, '').trim()
  } finally {
    await rm(directory, { recursive: true })
  }
}

async function readRequest(pem: string): Promise<{ key: string; subject: string; altNames: string } | undefined> {
  const args = ['req', '-noout', '-verify', '-text', '-pubkey', '-nameopt', 'RFC2253,sep_comma_plus_space,-dn_rev']
  const made = run('openssl', args)
  made.child.stdin?.end(pem)
  try {
    const { stdout } = await made
    const key = /-----BEGIN PUBLIC KEY-----[^-]+-----END PUBLIC KEY-----/.exec(stdout)?.[0] ?? ''
    return {
      key: createPublicKey(key).export({ type: 'spki', format: 'pem' }).toString(),
      subject: /Subject: (.*)/.exec(stdout)?.[1] ?? '',
      altNames: /Subject Alternative Name:\s*\n\s+(.*)/.exec(stdout)?.[1] ?? '',
    }
  } catch {
    return undefined
  }
}
