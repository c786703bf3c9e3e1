import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Exchange } from './traffic.ts'

/**
 * How the stand-in misbehaves on purpose.
 * - `hold`: takes the request and never answers (a hung server, or a half-open connection);
 * - `cut`: half of an answer, then silence;
 * - `reset`: breaks the connection instead of an answer;
 * - `slow`: answers properly after `ms`;
 * - `answer`: a fixed answer instead of the real one.
 */
export type Fault =
  | { readonly kind: 'hold' }
  | { readonly kind: 'cut' }
  | { readonly kind: 'reset' }
  | { readonly kind: 'slow'; readonly ms: number }
  | {
      readonly kind: 'answer'
      readonly status: number
      readonly body: string
      readonly headers?: Readonly<Record<string, string>>
    }

/** A web page where JSON is expected. */
export const HTML_PAGE: Fault = {
  kind: 'answer',
  status: 200,
  body: '<!doctype html><title>Welcome</title>',
  headers: { 'content-type': 'text/html' },
}

/** Maintenance, as a load balancer says it. */
export function maintenance(retryAfterSeconds: number): Fault {
  return {
    kind: 'answer',
    status: 503,
    body: 'Service Unavailable',
    headers: { 'retry-after': String(retryAfterSeconds), 'content-type': 'text/plain' },
  }
}

/** What a recording keeps of a fault that answered, or broke off, a request. */
export type FaultyAnswer = Pick<Exchange, 'outcome' | 'response' | 'headers'>

const NOTHING: FaultyAnswer = { outcome: 'none', response: null }

/** Applies a fault; undefined when the request is still to be answered. */
export async function applyFault(
  fault: Fault,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<FaultyAnswer | undefined> {
  switch (fault.kind) {
    case 'hold':
      return NOTHING
    case 'cut':
      response.writeHead(200, { 'content-type': 'application/json', 'content-length': '64' })
      response.write('{"id":"0')
      return NOTHING
    case 'reset':
      request.socket.resetAndDestroy()
      return NOTHING
    case 'slow':
      await new Promise((resolve) => setTimeout(resolve, fault.ms))
      return undefined
    case 'answer':
      response.writeHead(fault.status, fault.headers)
      response.end(fault.body)
      return { outcome: String(fault.status), response: fault.body, headers: fault.headers ?? {} }
  }
}
