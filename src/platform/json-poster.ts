import type { Agent } from 'undici'

/** What a client of another agent proves itself with, and believes it by; PEM. */
export interface PeerTls {
  readonly ca?: readonly string[]
  readonly cert?: string
  readonly key?: string
}

export interface JsonAnswer {
  readonly status: number
  /** Undefined when the body is no JSON. */
  readonly json: unknown
}

/** POSTs JSON to one server. Follows no redirect, repeats nothing. */
export interface JsonPoster {
  /** Waits for the answer until `signal` fires. Throws what the connection gave, or the signal's reason. */
  post(path: string, body: object, signal: AbortSignal): Promise<JsonAnswer>
}

const CONNECT_TIMEOUT_MS = 10_000
const MAX_BYTES = 8 * 1024 * 1024

/** Opens nothing before the first request; connections that are not used close by themselves. `tls` is asked at the first one. */
export function createJsonPoster(origin: string, userAgent: string, tls: () => Promise<PeerTls>): JsonPoster {
  let opening: Promise<Agent> | undefined
  const open = async (): Promise<Agent> => {
    const { Agent } = await import('./undici.ts')
    const { ca, cert, key } = origin.startsWith('https:') ? await tls() : {}
    return new Agent({
      connect: {
        timeout: CONNECT_TIMEOUT_MS,
        ...(ca === undefined ? {} : { ca: [...ca] }),
        ...(cert === undefined ? {} : { cert }),
        ...(key === undefined ? {} : { key }),
      },
      allowH2: false,
      // Starting a QEMU takes its time.
      headersTimeout: 0,
      bodyTimeout: 0,
      maxResponseSize: MAX_BYTES,
    })
  }
  return {
    async post(path, body, signal) {
      const { request } = await import('./undici.ts')
      const answer = await request(`${origin}${path}`, {
        dispatcher: await (opening ??= open()),
        method: 'POST',
        headers: { 'content-type': 'application/json', accept: 'application/json', 'user-agent': userAgent },
        body: JSON.stringify(body),
        signal,
      })
      return { status: answer.statusCode, json: parse(await answer.body.text()) }
    },
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}
