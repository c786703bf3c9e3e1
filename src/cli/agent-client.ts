import { request, type IncomingMessage } from 'node:http'
import { AgentError } from '../core/errors.ts'

/** The running agent's HTTP API over its unix socket. */
export interface AgentClient {
  /** The JSON of an answer; undefined without a body. Throws what the agent answers as the error; AGENT_UNREACHABLE when there is none. */
  call(method: string, path: string, body?: object): Promise<unknown>
  /** The data of server-sent events, one after the other, until the stream ends. */
  events(path: string): AsyncIterable<unknown>
}

/** A client of the agent that listens on `socket`. */
export function createAgentClient(socket: string): AgentClient {
  return {
    async call(method, path, body) {
      const response = await send(socket, method, path, body)
      const text = await textOf(response)
      const json: unknown = text === '' ? undefined : JSON.parse(text)
      if ((response.statusCode ?? 500) < 400) return json
      throw refusal(response.statusCode, json)
    },
    async *events(path) {
      const response = await send(socket, 'GET', path)
      if (response.statusCode !== 200) throw refusal(response.statusCode, JSON.parse(await textOf(response)))
      let rest = ''
      response.setEncoding('utf8')
      for await (const chunk of response as AsyncIterable<string>) {
        const blocks = (rest + chunk).split('\n\n')
        rest = blocks.pop() ?? ''
        for (const block of blocks) {
          const data = /^data: (.*)$/m.exec(block)?.[1]
          if (data !== undefined) yield JSON.parse(data) as unknown
        }
      }
    },
  }
}

// For the audit log: behind root there is often somebody else.
function currentUser(): string {
  const name = process.env['SUDO_USER'] ?? process.env['USER'] ?? ''
  return /^[\w.@\\-]{1,64}$/.test(name) ? name : String(process.getuid?.() ?? '')
}

function send(socketPath: string, method: string, path: string, body?: object): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    const payload = body === undefined ? undefined : JSON.stringify(body)
    const headers = {
      'limiquantix-user': currentUser(),
      ...(payload === undefined ? {} : { 'content-type': 'application/json' }),
    }
    const call = request({ socketPath, method, path, headers }, resolve)
    call.on('error', (error: NodeJS.ErrnoException) => {
      const why =
        error.code === 'EACCES'
          ? 'only root may use it'
          : `start the agent with systemctl start limiquantix-node (${error.message})`
      reject(new AgentError('AGENT_UNREACHABLE', `no answer at ${socketPath}: ${why}`, { cause: error }))
    })
    call.end(payload)
  })
}

async function textOf(response: IncomingMessage): Promise<string> {
  let text = ''
  response.setEncoding('utf8')
  for await (const chunk of response as AsyncIterable<string>) text += chunk
  return text
}

function refusal(status: number | undefined, json: unknown): AgentError {
  const { error = '', message = `HTTP ${status}` } = (json ?? {}) as { error?: string; message?: string }
  return new AgentError('AGENT_REFUSED', `${message}${error === '' ? '' : ` [${error.toUpperCase()}]`}`)
}
