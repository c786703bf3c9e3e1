import type { Dispatcher } from 'undici'
import connect from 'undici/lib/api/api-connect.js'
import buildConnector from 'undici/lib/core/connect.js'
import Dispatchers from 'undici/lib/dispatcher/dispatcher.js'
import EnvHttpProxyAgent from 'undici/lib/dispatcher/env-http-proxy-agent.js'
import { AgentError, errorText, isAgentError } from '../core/errors.ts'
import { DirectSocket, type ByteSink } from './direct-socket.ts'
import { guardedLookup, parseFetchUrl, withoutQuery, type FetchPolicy } from './fetch-policy.ts'

// Loaded by file: the index brings fetch, caches and mocks with it, 13 MB in every transfer worker. The index would also add this method, which tunnels through proxies need.
Object.assign(Dispatchers.prototype, { connect })

export interface FetchOptions extends FetchPolicy {
  /** Deadline for a connection, per hop. */
  readonly connectTimeoutMs: number
  /** Deadline for the response headers, per hop. */
  readonly headersTimeoutMs: number
  /** Follow a redirect from https to http: only when the content is verified by other means. */
  readonly allowDowngrade: boolean
  readonly signal: AbortSignal
}

/** A response of status 200 whose body has not been taken yet; the transfer waits until `receive`. */
export interface OpenDownload {
  /** Where the redirects ended, without query. */
  readonly finalUrl: string
  /** Announced length; undefined for a chunked or unbounded body. */
  readonly contentLength: number | undefined
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
 * GETs `url` and follows redirects; every hop, and every address it resolves to, passes the policy. Proxies (`http_proxy`, `https_proxy`, `no_proxy`) and NODE_EXTRA_CA_CERTS are honoured. Errors:
 * URL_REFUSED, DOWNLOAD_CONNECT, DOWNLOAD_HTTP_STATUS, DOWNLOAD_STALLED (no headers in time), abort reason.
 */
export async function openDownload(url: string, options: FetchOptions): Promise<OpenDownload> {
  let target = parseFetchUrl(url, options)
  for (let hop = 0; hop <= MAX_REDIRECTS; hop++) {
    options.signal.throwIfAborted()
    const exchange = new Exchange(target, options)
    try {
      const { status, headers } = await exchange.headers
      if (!REDIRECTS.includes(status)) return accept(exchange, target, status, headers)
      const next = redirectTarget(target, headers['location'], options)
      exchange.close()
      target = next
    } catch (error) {
      exchange.close()
      throw error
    }
  }
  throw new AgentError(
    'DOWNLOAD_HTTP_STATUS',
    `${withoutQuery(new URL(url))} redirects more than ${MAX_REDIRECTS} times`,
  )
}

type Headers = Readonly<Record<string, string | string[] | undefined>>

function redirectTarget(from: URL, location: string | string[] | undefined, options: FetchOptions): URL {
  const next = typeof location === 'string' ? URL.parse(location, from.href) : null
  if (next === null) {
    throw new AgentError('DOWNLOAD_HTTP_STATUS', `${withoutQuery(from)} redirects without a usable location`)
  }
  const target = parseFetchUrl(next.href, options)
  if (from.protocol === 'https:' && target.protocol === 'http:' && !options.allowDowngrade) {
    throw new AgentError(
      'URL_REFUSED',
      `${withoutQuery(from)} redirects from https to http; give a checksum, or the final URL`,
    )
  }
  return target
}

function accept(exchange: Exchange, url: URL, status: number, headers: Headers): OpenDownload {
  const name = withoutQuery(url)
  if (status !== 200) throw new AgentError('DOWNLOAD_HTTP_STATUS', `${name} answered with HTTP status ${status}`)
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    throw new AgentError('DOWNLOAD_HTTP_STATUS', `${name} was sent with a content encoding that was not asked for`)
  }
  const announced = headers['content-length']
  const contentLength =
    typeof announced === 'string' && headers['transfer-encoding'] === undefined ? Number(announced) : undefined
  return {
    finalUrl: name,
    contentLength,
    receive: (sink, signal) => exchange.receive(sink, contentLength, signal),
    close: () => exchange.close(),
  }
}

/** One request on one connection. */
class Exchange {
  readonly headers: Promise<{ status: number; headers: Headers }>
  readonly #name: string
  readonly #agent: InstanceType<typeof EnvHttpProxyAgent>
  readonly #direct: DirectSocket | undefined
  readonly #headersArrived = Promise.withResolvers<{ status: number; headers: Headers }>()
  readonly #ended = Promise.withResolvers<number>()
  #controller: Dispatcher.DispatchController | undefined
  #sink: ByteSink | undefined
  #received = 0
  #expected: number | undefined

  constructor(url: URL, options: FetchOptions) {
    this.#name = withoutQuery(url)
    this.#direct = url.protocol === 'http:' ? new DirectSocket() : undefined
    this.#agent = new EnvHttpProxyAgent({
      connections: 1,
      pipelining: 1,
      allowH2: false,
      // The owner of the transfer has its own stall clock; undici's does not run under back-pressure.
      bodyTimeout: 0,
      headersTimeout: 0,
      connectTimeout: options.connectTimeoutMs,
      connect: buildConnector({
        allowH2: false,
        timeout: options.connectTimeoutMs,
        lookup: guardedLookup(options),
        ...(this.#direct === undefined ? {} : { onread: this.#direct.onread }),
      }),
    })
    this.headers = this.#headersArrived.promise
    // Nobody waits for the end of a redirect or of a refused answer.
    this.#ended.promise.catch(() => undefined)
    this.#guardHeaders(options)
    this.#agent.dispatch(
      {
        origin: url.origin,
        path: url.pathname + url.search,
        method: 'GET',
        headers: { accept: '*/*', 'accept-encoding': 'identity', 'user-agent': 'limiquantix-node' },
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

  async receive(sink: ByteSink, contentLength: number | undefined, signal: AbortSignal): Promise<number> {
    const onAbort = () => this.#ended.reject(signal.reason)
    signal.throwIfAborted()
    signal.addEventListener('abort', onAbort, { once: true })
    this.#sink = sink
    this.#expected = contentLength
    sink.onSpace = () => {
      this.#controller?.resume()
      this.#direct?.resume()
    }
    if (contentLength !== undefined)
      this.#direct?.divert(
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
      this.close()
    }
  }

  close(): void {
    this.#agent.destroy().catch(() => undefined)
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
    const hint = /CERT|ISSUER|SIGNATURE/.test(code) ? '; name the CA file of the server in NODE_EXTRA_CA_CERTS' : ''
    const text = errorText(error) || code
    return new AgentError(
      'DOWNLOAD_CONNECT',
      `${this.#name}: ${text.includes(code) ? text : `${text} (${code})`}${hint}`,
      {
        cause: error,
      },
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
