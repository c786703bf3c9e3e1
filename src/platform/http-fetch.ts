import type { Dispatcher } from 'undici'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import type { ByteSink } from './direct-socket.ts'
import { FetchConnection, type ConnectionRules, type Wire } from './fetch-connection.ts'
import { isNamedMirror, parseFetchUrl, rewriteUrl, withoutQuery } from './fetch-policy.ts'
import { acceptAnswer, type AnswerHeaders, type BodyFacts, type RangeRequest } from './http-answer.ts'

export interface FetchOptions extends ConnectionRules {
  /** An Authorization header for this origin alone. */
  readonly authorization?: { readonly origin: string; readonly value: string }
  /** Deadline for the response headers, per hop. */
  readonly headersTimeoutMs: number
  /** Follow a redirect from https to http: only when the content is verified by other means. */
  readonly allowDowngrade: boolean
  /** Asks for a part of the content only; everything may come instead. */
  readonly range?: RangeRequest
  readonly signal: AbortSignal
}

/** An accepted response whose body has not been taken yet; the transfer waits until `receive`. */
export interface OpenDownload extends BodyFacts {
  /** Of use for another request once `receive` has resolved, when the end of the range was asked for. */
  readonly connection: FetchConnection
  /**
   * Streams the body into `sink`, pausing while it is full. Resolves with the number of bytes at the complete end. Errors: DOWNLOAD_TRUNCATED, DOWNLOAD_CONNECT, abort reason.
   */
  receive(sink: ByteSink, signal: AbortSignal): Promise<number>
  /** Drops the connection. */
  close(): void
}

const MAX_REDIRECTS = 10
const REDIRECTS: readonly number[] = [301, 302, 303, 307, 308]

/**
 * GETs `url`, or what the policy has in its place, and follows redirects; every hop, and every address it resolves to, passes the policy. Proxies (`network`, else `http_proxy`, `https_proxy`, `no_proxy`) are honoured, servers believed by `trustedAuthorities`. Errors:
 * URL_REFUSED, DOWNLOAD_CONNECT (detail `certificate` when that is what was refused), DOWNLOAD_STALLED (no headers in time), those of acceptAnswer, abort reason.
 */
export async function openDownload(
  url: string,
  options: FetchOptions,
  connection = new FetchConnection(),
): Promise<OpenDownload> {
  let target = parseFetchUrl(rewriteUrl(url, options.rewrites), options)
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    options.signal.throwIfAborted()
    const wire = await connection.to(target, options)
    try {
      // Nothing listened meanwhile.
      options.signal.throwIfAborted()
      const exchange = new Exchange(target, options, wire)
      const { status, headers } = await exchange.headers
      if (!REDIRECTS.includes(status)) {
        const facts = acceptAnswer(target, status, headers, options.range)
        const again = facts.isPart && options.range?.to !== undefined
        return {
          ...facts,
          connection,
          async receive(sink, signal) {
            let isWhole = false
            try {
              const bytes = await exchange.receive(sink, facts.contentLength, again ? 'again' : 'once', signal)
              isWhole = true
              return bytes
            } finally {
              if (!again || !isWhole) connection.close()
            }
          },
          close: () => connection.close(),
        }
      }
      target = redirectTarget(target, headers['location'], options)
      connection.close()
    } catch (error) {
      connection.close()
      throw error
    }
  }
  throw new AgentError(
    'DOWNLOAD_HTTP_STATUS',
    `${withoutQuery(new URL(url))} redirects more than ${MAX_REDIRECTS} times`,
  )
}

function redirectTarget(from: URL, location: string | string[] | undefined, options: FetchOptions): URL {
  const next = typeof location === 'string' ? URL.parse(location, from.href) : null
  if (next === null) {
    throw new AgentError('DOWNLOAD_HTTP_STATUS', `${withoutQuery(from)} redirects without a usable location`)
  }
  const target = parseFetchUrl(rewriteUrl(next.href, options.rewrites), options)
  const downgraded = from.protocol === 'https:' && target.protocol === 'http:'
  if (downgraded && !options.allowDowngrade && !isNamedMirror(target, options.rewrites)) {
    throw new AgentError(
      'URL_REFUSED',
      `${withoutQuery(from)} redirects from https to http; give a checksum, or the final URL`,
    )
  }
  return target
}

function requestHeaders({ origin }: URL, { range, authorization }: FetchOptions): Record<string, string> {
  return {
    ...(authorization?.origin === origin ? { authorization: authorization.value } : {}),
    accept: '*/*',
    'accept-encoding': 'identity',
    'user-agent': 'limiquantix-node',
    ...(range === undefined ? {} : { range: `bytes=${range.from}-${range.to ?? ''}` }),
    ...(range?.ifRange === undefined ? {} : { 'if-range': range.ifRange }),
  }
}

/** One request on a connection. */
class Exchange {
  readonly headers: Promise<{ status: number; headers: AnswerHeaders }>
  readonly #name: string
  readonly #direct: Wire['direct']
  readonly #headersArrived = Promise.withResolvers<{ status: number; headers: AnswerHeaders }>()
  readonly #ended = Promise.withResolvers<number>()
  #controller: Dispatcher.DispatchController | undefined
  #sink: ByteSink | undefined
  #received = 0
  #expected: number | undefined

  constructor(url: URL, options: FetchOptions, { agent, direct }: Wire) {
    this.#name = withoutQuery(url)
    this.#direct = direct
    this.headers = this.#headersArrived.promise
    // Nobody waits for the end of a redirect or of a refused answer.
    this.#ended.promise.catch(() => undefined)
    this.#guardHeaders(options)
    agent.dispatch(
      {
        origin: url.origin,
        path: url.pathname + url.search,
        method: 'GET',
        headers: requestHeaders(url, options),
      },
      {
        onRequestStart: (controller) => {
          this.#controller = controller
        },
        onResponseStart: (controller, status, headers) => {
          if (status < 200) return
          controller.pause()
          this.#headersArrived.resolve({ status, headers })
        },
        onResponseData: (controller, chunk) => {
          this.#received += chunk.length
          if (this.#sink?.write(chunk) === false) controller.pause()
          if (this.#received === this.#expected) this.#ended.resolve(this.#received)
        },
        onResponseEnd: () => this.#finish(),
        onResponseError: (_controller, error) => this.#fail(error),
      },
    )
  }

  /** `use` of the connection: past its parser only when it is used `once`, since the parser must have seen the end of an answer before the next one. */
  async receive(
    sink: ByteSink,
    contentLength: number | undefined,
    use: 'once' | 'again',
    signal: AbortSignal,
  ): Promise<number> {
    const onAbort = () => this.#ended.reject(signal.reason)
    signal.throwIfAborted()
    signal.addEventListener('abort', onAbort, { once: true })
    this.#sink = sink
    this.#expected = contentLength
    sink.onSpace = () => {
      this.#controller?.resume()
      this.#direct?.resume()
    }
    const direct = use === 'once' ? this.#direct : undefined
    if (contentLength !== undefined)
      direct?.divert(
        sink,
        () => !this.#paused(),
        (count) => this.#take(count, contentLength),
      )
    if (contentLength === 0) this.#ended.resolve(0)
    this.#controller?.resume()
    try {
      return await this.#ended.promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      sink.onSpace = undefined
      // The sink may be going on with another connection: what still arrives on this one is not for it.
      this.#sink = undefined
      direct?.stop()
      // A sink that became full with the last byte holds up the end of the answer.
      if (use === 'again') this.#controller?.resume()
    }
  }

  #paused(): boolean {
    return this.#controller?.paused ?? true
  }

  // Bytes beyond the announced length are no part of the body.
  #take(count: number, contentLength: number): number {
    const wanted = Math.min(count, contentLength - this.#received)
    this.#received += wanted
    if (this.#received === contentLength) queueMicrotask(() => this.#ended.resolve(contentLength))
    return wanted
  }

  #finish(): void {
    if (this.#expected === undefined || this.#received === this.#expected) this.#ended.resolve(this.#received)
    else this.#ended.reject(this.#truncated())
  }

  #fail(error: Error): void {
    this.#headersArrived.reject(this.#connectError(error))
    const closed =
      'code' in error && (error.code === 'UND_ERR_SOCKET' || error.code === 'UND_ERR_RES_CONTENT_LENGTH_MISMATCH')
    this.#ended.reject(closed ? this.#truncated() : this.#connectError(error))
  }

  #truncated(): AgentError {
    const of = this.#expected === undefined ? '' : ` of ${this.#expected}`
    return new AgentError('DOWNLOAD_TRUNCATED', `${this.#name} ended after ${this.#received}${of} bytes`)
  }

  #connectError(error: Error): AgentError {
    for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
      if (isAgentError(cause)) return cause
    }
    const code = 'code' in error && typeof error.code === 'string' ? error.code : ''
    const certificate = /CERT|ISSUER|SIGNATURE/.test(code)
    const hint = certificate ? '; name the CA file of the server in images.ca_file or NODE_EXTRA_CA_CERTS' : ''
    const text = errorText(error) || code
    return new AgentError(
      'DOWNLOAD_CONNECT',
      `${this.#name}: ${text.includes(code) ? text : `${text} (${code})`}${hint}`,
      { cause: error, ...(certificate ? { details: { certificate: code } } : {}) },
    )
  }

  #guardHeaders(options: FetchOptions): void {
    const { signal, headersTimeoutMs } = options
    const onAbort = () => this.#headersArrived.reject(signal.reason)
    const timer = setTimeout(() => {
      const text = `${this.#name} sent no answer within ${headersTimeoutMs / 1000} s`
      this.#headersArrived.reject(new AgentError('DOWNLOAD_STALLED', text))
    }, headersTimeoutMs)
    signal.addEventListener('abort', onAbort, { once: true })
    const settle = () => {
      clearTimeout(timer)
      signal.removeEventListener('abort', onAbort)
    }
    this.headers.then(settle, settle)
  }
}
