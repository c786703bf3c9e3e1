import type { Agent } from 'undici'
import { AgentError } from '../core/errors.ts'

/** One request with a small body either way. */
export interface SmallRequest {
  readonly method: 'GET' | 'HEAD' | 'POST'
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

export interface SmallAnswer {
  readonly status: number
  /** Lower-case names; of a repeated one all values. */
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly text: string
}

/** Exchanges with servers that are believed by the given authorities. Follows no redirect. */
export interface HttpsExchange {
  /** Throws what the connection gave, the signal's reason, and DEADLINE_EXCEEDED by time or RESOURCE limits as errors of undici. */
  exchange(url: string, request: SmallRequest, signal: AbortSignal): Promise<SmallAnswer>
  close(): Promise<void>
}

const TIMEOUT_MS = 30_000
const MAX_BYTES = 1024 * 1024

export interface HttpsExchangeOptions {
  /** Shown to the server; PEM. */
  readonly identity?: { readonly key: string; readonly cert: string }
  /** Believes any server. Only for what is checked by itself, such as a certificate whose fingerprint is known. */
  readonly anyServer?: true
}

/** Opens nothing before the first request. `authorities` (PEM) replace those of the public web. */
export function createHttpsExchange(
  authorities: readonly string[],
  userAgent: string,
  { identity, anyServer }: HttpsExchangeOptions = {},
): HttpsExchange {
  let agent: Agent | undefined
  return {
    async exchange(url, { method, headers = {}, body }, signal) {
      const { Agent } = await import('./undici.ts')
      agent ??= new Agent({
        connect: { ca: [...authorities], ...identity, ...(anyServer ? { rejectUnauthorized: false } : {}) },
        maxResponseSize: MAX_BYTES,
      })
      const { request } = await import('./undici.ts')
      const limit = AbortSignal.any([signal, AbortSignal.timeout(TIMEOUT_MS)])
      try {
        const answer = await request(url, {
          dispatcher: agent,
          method,
          headers: { 'user-agent': userAgent, ...headers },
          ...(body === undefined ? {} : { body }),
          signal: limit,
        })
        return { status: answer.statusCode, headers: answer.headers, text: await answer.body.text() }
      } catch (error) {
        if (limit.aborted && !signal.aborted)
          throw new AgentError('DEADLINE_EXCEEDED', `${new URL(url).host} did not answer within ${TIMEOUT_MS / 1000} s`)
        throw error
      }
    },
    async close() {
      await agent?.destroy()
    },
  }
}
