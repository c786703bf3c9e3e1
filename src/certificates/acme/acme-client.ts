import type { KeyObject } from 'node:crypto'
import { z } from 'zod'
import { AgentError, errorText } from '../../core/errors.ts'
import { quote } from '../../core/ids.ts'
import { delay } from '../../platform/clock.ts'
import type { HttpsExchange, SmallAnswer, SmallRequest } from '../../platform/https-exchange.ts'
import { publicJwk, signedBody, thumbprint } from './jws.ts'

/** Answers challenges while an order is under way: `put` before the server may ask, `remove` when it has. */
export interface ChallengeResponses {
  put(token: string, keyAuthorization: string): void
  remove(token: string): void
}

const directory = z.object({ newNonce: z.url(), newAccount: z.url(), newOrder: z.url() })
const order = z.object({
  status: z.string(),
  authorizations: z.array(z.url()),
  finalize: z.url(),
  certificate: z.url().optional(),
  error: z.looseObject({ detail: z.string().optional() }).optional(),
})
const authorization = z.object({
  status: z.string(),
  identifier: z.object({ value: z.string() }),
  challenges: z.array(
    z.looseObject({
      type: z.string(),
      url: z.url(),
      token: z.string().optional(),
      error: z.looseObject({ detail: z.string().optional() }).optional(),
    }),
  ),
})
const problem = z.looseObject({ type: z.string().default(''), detail: z.string().default('') })

const BAD_NONCE = 'urn:ietf:params:acme:error:badNonce'
const MAX_NONCE_RETRIES = 10
const POLL_MS = 1_000
const MAX_POLL_MS = 10_000
// Text that goes into a path, as servers have to send it (RFC 8555 8.1).
const TOKEN = /^[\w-]{16,256}$/

/**
 * One account at one server of RFC 8555, for challenges of type http-01. Errors of every method: ACME_UNAVAILABLE (no answer, or none that is of the protocol),
 * ACME_REFUSED (with the server's words).
 */
export class AcmeClient {
  readonly #http: HttpsExchange
  readonly #directoryUrl: string
  readonly #key: KeyObject
  #accountUrl: string | undefined
  #directory: z.output<typeof directory> | undefined
  #nonce: string | undefined

  constructor(http: HttpsExchange, directoryUrl: string, key: KeyObject, accountUrl: string | undefined) {
    this.#http = http
    this.#directoryUrl = directoryUrl
    this.#key = key
    this.#accountUrl = accountUrl
  }

  /** Makes the account, or finds the one that this key has; returns its URL. Agrees to the terms of the server. */
  async register(email: string, signal: AbortSignal): Promise<string> {
    const { newAccount } = await this.#urls(signal)
    const contact = email === '' ? {} : { contact: [`mailto:${email}`] }
    const answer = await this.#post(newAccount, { termsOfServiceAgreed: true, ...contact }, signal)
    const url = headerOf(answer, 'location')
    if (url === undefined) throw unavailable(newAccount, 'the answer names no account')
    this.#accountUrl = url
    return url
  }

  /** A certificate for `domains` (PEM, the whole chain) for the key of the signing request (DER). Waits until the server is done or `signal` fires. */
  async certificate(
    domains: readonly string[],
    request: Buffer,
    responses: ChallengeResponses,
    signal: AbortSignal,
  ): Promise<string> {
    const { newOrder } = await this.#urls(signal)
    const identifiers = domains.map((value) => ({ type: 'dns', value }))
    const made = await this.#post(newOrder, { identifiers }, signal)
    const orderUrl = headerOf(made, 'location')
    if (orderUrl === undefined) throw unavailable(newOrder, 'the answer names no order')
    const { authorizations, finalize } = parse(newOrder, made, order)
    for (const url of authorizations) await this.#prove(url, responses, signal)
    await this.#post(finalize, { csr: request.toString('base64url') }, signal)
    const done = await this.#poll(orderUrl, order, ['valid', 'invalid'], signal)
    if (done.certificate === undefined)
      throw refused(`the order for ${domains.join(', ')} failed: ${done.error?.detail ?? done.status}`)
    return (await this.#post(done.certificate, undefined, signal)).text
  }

  async #prove(url: string, responses: ChallengeResponses, signal: AbortSignal): Promise<void> {
    const { status, identifier, challenges } = parse(url, await this.#post(url, undefined, signal), authorization)
    if (status === 'valid') return
    const challenge = challenges.find(({ type }) => type === 'http-01')
    const { token = '' } = challenge ?? {}
    if (challenge === undefined || !TOKEN.test(token))
      throw refused(`the server offers no challenge of type http-01 for ${identifier.value}`)
    responses.put(token, `${token}.${thumbprint(this.#key)}`)
    try {
      await this.#post(challenge.url, {}, signal)
      const done = await this.#poll(
        url,
        authorization,
        ['valid', 'invalid', 'deactivated', 'expired', 'revoked'],
        signal,
      )
      if (done.status === 'valid') return
      const detail = done.challenges.map(({ error }) => error?.detail).find((text) => text !== undefined)
      throw refused(`${identifier.value} was not confirmed: ${detail ?? done.status}`)
    } finally {
      responses.remove(token)
    }
  }

  async #poll<T extends { status: string }>(
    url: string,
    schema: z.ZodType<T>,
    final: readonly string[],
    signal: AbortSignal,
  ): Promise<T> {
    for (;;) {
      const answer = await this.#post(url, undefined, signal)
      const state = parse(url, answer, schema)
      if (final.includes(state.status)) return state
      const seconds = Number(headerOf(answer, 'retry-after') ?? Number.NaN)
      await delay(Math.min(seconds > 0 ? seconds * 1000 : POLL_MS, MAX_POLL_MS), signal)
    }
  }

  async #urls(signal: AbortSignal): Promise<z.output<typeof directory>> {
    if (this.#directory !== undefined) return this.#directory
    const answer = await this.#send(this.#directoryUrl, { method: 'GET' }, signal)
    return (this.#directory = parse(this.#directoryUrl, answer, directory))
  }

  async #post(url: string, payload: object | undefined, signal: AbortSignal): Promise<SmallAnswer> {
    for (let attempt = 0; ; attempt++) {
      const nonce = this.#nonce ?? (await this.#newNonce(signal))
      this.#nonce = undefined
      const who = this.#accountUrl === undefined ? { jwk: publicJwk(this.#key) } : { kid: this.#accountUrl }
      const body = signedBody(this.#key, { ...who, nonce, url }, payload)
      const headers = { 'content-type': 'application/jose+json' }
      const answer = await this.#send(url, { method: 'POST', headers, body }, signal)
      if (answer.status < 400) return answer
      const { type, detail } = problemOf(answer)
      // The server forgot the nonce; its answer has a new one.
      if (type === BAD_NONCE && attempt < MAX_NONCE_RETRIES) continue
      if (answer.status >= 500) throw unavailable(url, `HTTP ${answer.status} ${detail}`)
      throw refused(`${new URL(url).host} refuses: ${detail || `HTTP ${answer.status}`}`)
    }
  }

  async #newNonce(signal: AbortSignal): Promise<string> {
    const { newNonce } = await this.#urls(signal)
    await this.#send(newNonce, { method: 'HEAD' }, signal)
    if (this.#nonce === undefined) throw unavailable(newNonce, 'the answer has no nonce')
    return this.#nonce
  }

  async #send(url: string, request: SmallRequest, signal: AbortSignal): Promise<SmallAnswer> {
    let answer: SmallAnswer
    try {
      answer = await this.#http.exchange(url, request, signal)
    } catch (error) {
      signal.throwIfAborted()
      throw unavailable(url, errorText(error))
    }
    this.#nonce = headerOf(answer, 'replay-nonce') ?? this.#nonce
    return answer
  }
}

function parse<T>(url: string, { status, text }: SmallAnswer, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(text))
  } catch {
    throw unavailable(url, `what answers there does not speak ACME (HTTP ${status})`)
  }
}

function problemOf({ text }: SmallAnswer): z.output<typeof problem> {
  try {
    return problem.parse(JSON.parse(text))
  } catch {
    return { type: '', detail: '' }
  }
}

function headerOf({ headers }: SmallAnswer, name: string): string | undefined {
  const value = headers[name]
  return Array.isArray(value) ? value[0] : value
}

function unavailable(url: string, why: string): AgentError {
  return new AgentError('ACME_UNAVAILABLE', `no certificate from ${new URL(url).host}: ${why.slice(0, 300)}`)
}

function refused(text: string): AgentError {
  return new AgentError('ACME_REFUSED', quote(text.slice(0, 500)).slice(1, -1))
}
