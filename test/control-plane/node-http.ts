import { Traffic } from './traffic.ts'

/** An answer of a node's HTTP API; `body` is JSON, or the text when it is none. */
export interface NodeAnswer {
  readonly status: number
  readonly body: unknown
}

/** Calls a node's HTTP API as the control plane does, and keeps what was said. Rejects when nobody answers. */
export async function callNode(
  nodeHttp: string,
  method: 'GET' | 'POST',
  path: string,
  body: object | undefined,
  signal: AbortSignal,
  traffic: Traffic = new Traffic(),
): Promise<NodeAnswer> {
  const about = {
    at: traffic.now(),
    from: 'control-plane',
    agent: new URL(nodeHttp).host,
    over: 'http',
    call: `${method} ${path}`,
    request: body ?? null,
  } as const
  try {
    const answer = await fetch(`${nodeHttp}${path}`, {
      method,
      signal,
      ...(body === undefined ? {} : { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    })
    const text = await answer.text()
    const json = parse(text)
    traffic.add({ ...about, outcome: String(answer.status), response: json })
    return { status: answer.status, body: json }
  } catch (error) {
    traffic.add({ ...about, outcome: 'none', response: null })
    throw error
  }
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
