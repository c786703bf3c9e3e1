import type { IncomingMessage, ServerResponse } from 'node:http'

/** A Connect error as the control plane sends it. */
export class ConnectError extends Error {
  readonly code: string

  constructor(code: string, message: string) {
    super(message)
    this.code = code
  }
}

const STATUS: Readonly<Record<string, number>> = {
  not_found: 404,
  invalid_argument: 400,
  internal: 500,
  unavailable: 503,
  unimplemented: 501,
  failed_precondition: 400,
  already_exists: 409,
}

/** A message in the control plane's form: zero values and empty lists left out, bigint (64-bit fields) as strings. */
export function wireMessage(message: object): object {
  return (withoutZeros(message) as object | undefined) ?? {}
}

/** Answers with a message of `wireMessage`. */
export function sendMessage(response: ServerResponse, message: object): void {
  send(response, 200, JSON.stringify(message))
}

/** Writes a Connect error with its HTTP status. */
export function sendError(response: ServerResponse, error: ConnectError): void {
  send(response, STATUS[error.code] ?? 500, JSON.stringify({ code: error.code, message: error.message }))
}

function send(response: ServerResponse, status: number, body: string): void {
  response.writeHead(status, { 'content-type': 'application/json' })
  response.end(body)
}

function withoutZeros(value: unknown): unknown {
  if (typeof value === 'bigint') return value === 0n ? undefined : String(value)
  if (value === 0 || value === '' || value === false || value === null || value === undefined) return undefined
  if (Array.isArray(value))
    return value.length === 0 ? undefined : value.map((item: unknown) => withoutZeros(item) ?? {})
  if (typeof value !== 'object') return value
  const entries = Object.entries(value).flatMap(([key, item]) => {
    const kept = withoutZeros(item)
    return kept === undefined ? [] : [[key, kept] as const]
  })
  return Object.fromEntries(entries)
}

/** The JSON body of a request; throws ConnectError `invalid_argument` when it is not JSON. */
export async function readJson(request: IncomingMessage): Promise<unknown> {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  try {
    return JSON.parse(Buffer.concat(chunks).toString()) as unknown
  } catch {
    throw new ConnectError('invalid_argument', 'the body is not JSON')
  }
}
