import { once } from 'node:events'
import { Agent, request, type RequestOptions } from 'node:https'
import type { IncomingMessage } from 'node:http'
import type { PeerCertificate, TLSSocket } from 'node:tls'

/** An answer with the certificate that the server showed. */
export interface HttpsAnswer {
  readonly status: number
  readonly json: unknown
  readonly peer: PeerCertificate
}

/** One HTTPS request over a connection of its own, unless `agent` keeps one. */
export async function httpsCall(
  url: string,
  options: RequestOptions & { readonly body?: unknown } = {},
): Promise<HttpsAnswer> {
  const { body, ...rest } = options
  const payload = body === undefined ? undefined : JSON.stringify(body)
  const call = request(url, {
    agent: new Agent({ keepAlive: false }),
    ...rest,
    headers: { ...(payload === undefined ? {} : { 'content-type': 'application/json' }), ...rest.headers },
  })
  call.end(payload)
  const [response] = (await once(call, 'response')) as [IncomingMessage]
  const peer = (response.socket as TLSSocket).getPeerCertificate()
  let text = ''
  response.setEncoding('utf8')
  for await (const chunk of response as AsyncIterable<string>) text += chunk
  return { status: response.statusCode ?? 0, json: text === '' ? undefined : JSON.parse(text), peer }
}
