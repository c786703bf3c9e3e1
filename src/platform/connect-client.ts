import type { Dispatcher, Pool } from 'undici'
import type { ZodType } from 'zod'
import { AgentError, errorText, toAgentError, type ErrorDetails } from '../core/errors.ts'
import { quote } from '../core/ids.ts'

/** Unary calls of the Connect protocol with JSON, to one server. */
export interface ConnectClient {
  /** Scheme, host and path prefix, without a slash at the end. */
  readonly baseUrl: string
  /**
   * Calls `procedure` (`package.Service/Method`). The answer is parsed with `response` (64-bit integers come as strings). A connection that broke before any
   * answer is replaced once, so methods must be idempotent. Errors: CONTROL_PLANE_UNAVAILABLE (no connection, deadline, 429, 502 to 504), CONTROL_PLANE_REFUSED
   * (Connect error, see `connectCode`), CONTROL_PLANE_BAD_ANSWER; the signal's reason when it fires.
   */
  call<T>(procedure: string, request: object, response: ZodType<T>, options: ConnectCallOptions): Promise<T>
  /** Drops all connections; calls in flight fail. */
  close(): Promise<void>
}

export interface ConnectCallOptions {
  readonly signal: AbortSignal
  /** For the whole exchange including the connection. */
  readonly timeoutMs: number
}

export interface ConnectClientOptions {
  readonly baseUrl: string
  readonly userAgent?: string
  readonly maxResponseBytes?: number
  /** Of https; asked for each connection, so that renewed certificates count. The authorities of Node when absent. */
  readonly tls?: ClientTls
}

/** Whom a client believes (PEM), and what it shows when it is asked for a certificate. */
export type ClientTls = () => Promise<{
  readonly ca: readonly string[]
  readonly identity: { readonly key: string; readonly cert: string } | undefined
}>

const MAX_RESPONSE_BYTES = 4 * 1024 * 1024
const CONNECT_TIMEOUT_MS = 10_000
// Longer than the heartbeat period, so that one connection serves them all where the server keeps it.
const KEEP_ALIVE_MS = 90_000
const MAX_WORDS = 300

/** A client with its own pool of connections; nothing is opened before the first call. Throws CONFIG_INVALID for a URL that is not http(s). */
export function createConnectClient(options: ConnectClientOptions): ConnectClient {
  const base = parseBaseUrl(options.baseUrl)
  const tls = base.origin.startsWith('https:') ? options.tls : undefined
  const maxBytes = options.maxResponseBytes ?? MAX_RESPONSE_BYTES
  let pool: Promise<Pool> | undefined
  const open = async (): Promise<Pool> => {
    // Loaded at the first call: an agent without a control plane does not need it.
    const { buildConnector, Pool } = await import('./undici.ts')
    return new Pool(base.origin, {
      connections: 4,
      allowH2: false,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect:
        tls === undefined
          ? { timeout: CONNECT_TIMEOUT_MS }
          : (target, done) => {
              tls().then(
                ({ ca, identity }) =>
                  // A connector of one's own does not hear of the pool's `allowH2`, and offers HTTP/2 by itself.
                  buildConnector({ timeout: CONNECT_TIMEOUT_MS, allowH2: false, ca: [...ca], ...identity })(
                    target,
                    done,
                  ),
                (error: unknown) => done(toAgentError(error), null),
              )
            },
    })
  }
  const post = async (procedure: string, body: string, signal: AbortSignal) => {
    return (await (pool ??= open())).request({
      method: 'POST',
      path: `${base.prefix}/${procedure}`,
      headers: {
        'content-type': 'application/json',
        accept: 'application/json',
        'connect-protocol-version': '1',
        'user-agent': options.userAgent ?? 'limiquantix-node',
      },
      body,
      signal,
    })
  }
  return {
    baseUrl: base.origin + base.prefix,
    async call(procedure, request, response, { signal, timeoutMs }) {
      signal.throwIfAborted()
      const deadline = new AbortController()
      const timer = setTimeout(() => deadline.abort(), timeoutMs)
      const onAbort = () => deadline.abort()
      signal.addEventListener('abort', onAbort, { once: true })
      try {
        const body = JSON.stringify(request)
        const reply = await post(procedure, body, deadline.signal).catch((error: unknown) => {
          if (!isDroppedConnection(error) || deadline.signal.aborted) throw error
          return post(procedure, body, deadline.signal)
        })
        return parseAnswer(procedure, await readAnswer(procedure, reply, maxBytes), response)
      } catch (error) {
        if (error instanceof AgentError) throw error
        signal.throwIfAborted()
        throw new AgentError(
          'CONTROL_PLANE_UNAVAILABLE',
          deadline.signal.aborted
            ? `the control plane at ${base.origin} did not answer ${methodOf(procedure)} within ${timeoutMs / 1000} s`
            : `the control plane at ${base.origin} cannot be reached for ${methodOf(procedure)}: ${errorText(error)}`,
          { details: { cause: deadline.signal.aborted ? 'DEADLINE' : codeOf(error) }, cause: error },
        )
      } finally {
        clearTimeout(timer)
        signal.removeEventListener('abort', onAbort)
      }
    },
    async close() {
      const opened = await pool
      await opened?.destroy()
    },
  }
}

/** The Connect code of an error of `call` (`not_found`, `unimplemented`, …); empty when there was no answer. */
export function connectCode(error: unknown): string {
  return error instanceof AgentError ? (error.details.connectCode ?? '') : ''
}

/** How long the server asked to be left alone; undefined when it did not. */
export function retryAfterMs(error: unknown): number | undefined {
  const text = error instanceof AgentError ? error.details.retryAfterMs : undefined
  return text === undefined ? undefined : Number(text)
}

interface HttpAnswer {
  readonly status: number
  readonly retryAfter: string
  readonly text: string
}

async function readAnswer(procedure: string, reply: Dispatcher.ResponseData, maxBytes: number): Promise<HttpAnswer> {
  const chunks: Buffer[] = []
  let size = 0
  for await (const chunk of reply.body as AsyncIterable<Buffer>) {
    size += chunk.length
    if (size > maxBytes) {
      const text = `${methodOf(procedure)} was answered with more than ${maxBytes} bytes`
      throw new AgentError('CONTROL_PLANE_BAD_ANSWER', text)
    }
    chunks.push(chunk)
  }
  const retryAfter = String(reply.headers['retry-after'] ?? '')
  return { status: reply.statusCode, retryAfter, text: Buffer.concat(chunks).toString() }
}

function parseAnswer<T>(procedure: string, answer: HttpAnswer, response: ZodType<T>): T {
  const json = parseJson(answer.text)
  if (answer.status === 200) {
    const parsed = response.safeParse(json)
    if (parsed.success) return parsed.data
    const why = json === undefined ? `text that is not JSON: ${quote(answer.text)}` : 'JSON of another shape'
    throw new AgentError('CONTROL_PLANE_BAD_ANSWER', `${methodOf(procedure)} was answered with ${why}`, {
      details: { httpStatus: '200' },
    })
  }
  const error = isRecord(json) && typeof json.code === 'string' ? json : undefined
  const code = error === undefined ? codeOfStatus(answer.status) : String(error.code).slice(0, 40)
  const details: ErrorDetails = {
    connectCode: code,
    httpStatus: String(answer.status),
    ...(parseRetryAfter(answer.retryAfter) ?? {}),
  }
  const words = plain(typeof error?.message === 'string' ? error.message : answer.text)
  const message = `${methodOf(procedure)} was answered with HTTP ${answer.status} (${code}): ${words || '(no message)'}`
  if ([429, 502, 503, 504].includes(answer.status) || code === 'unavailable')
    throw new AgentError('CONTROL_PLANE_UNAVAILABLE', message, { details })
  if (error === undefined) throw new AgentError('CONTROL_PLANE_BAD_ANSWER', message, { details })
  throw new AgentError('CONTROL_PLANE_REFUSED', message, { details })
}

// How the Connect protocol reads an error without a body of its own: so a proxy's 404 is not taken for a word of the control plane.
function codeOfStatus(status: number): string {
  const codes: Readonly<Record<number, string>> = {
    400: 'internal',
    401: 'unauthenticated',
    403: 'permission_denied',
    404: 'unimplemented',
    429: 'unavailable',
    502: 'unavailable',
    503: 'unavailable',
    504: 'unavailable',
  }
  return codes[status] ?? 'unknown'
}

function parseRetryAfter(text: string): { retryAfterMs: string } | undefined {
  const ms = /^\d+$/.test(text) ? Number(text) * 1000 : Date.parse(text) - Date.now()
  return Number.isFinite(ms) ? { retryAfterMs: String(Math.max(0, Math.round(ms))) } : undefined
}

function parseBaseUrl(text: string): { origin: string; prefix: string } {
  const url = URL.parse(text)
  const usable = url !== null && /^https?:$/.test(url.protocol) && url.username === '' && url.search + url.hash === ''
  if (!usable)
    throw new AgentError('CONFIG_INVALID', `control_plane.address: ${quote(text)} is not a plain http(s) URL`)
  return { origin: url.origin, prefix: url.pathname.replace(/\/+$/, '') }
}

// The server closed a kept connection just as it was used.
function isDroppedConnection(error: unknown): boolean {
  return ['UND_ERR_SOCKET', 'ECONNRESET', 'EPIPE'].includes(codeOf(error))
}

function codeOf(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : 'UNKNOWN'
}

function methodOf(procedure: string): string {
  return procedure.slice(procedure.lastIndexOf('/') + 1)
}

function plain(text: string): string {
  const line = text.replace(/[\p{Cc}\s]+/gu, ' ').trim()
  return line.length > MAX_WORDS ? `${line.slice(0, MAX_WORDS)}...` : line
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
