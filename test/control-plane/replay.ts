import { once } from 'node:events'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { setTimeout as pause } from 'node:timers/promises'
import { agree, bindings, essence } from './agreement.ts'
import { ConnectError, readJson, sendError, sendMessage } from './connect-json.ts'
import { NodeCallError, NodeClient, goName } from './node-client.ts'
import { callNode } from './node-http.ts'
import { fill } from './session-file.ts'
import type { Exchange } from './traffic.ts'

/** The control-plane side of a recorded session, played to another agent. */
export interface Replay {
  /** Where the agent has to register. */
  readonly url: string
  /**
   * Makes every call of the recorded control plane, in its order, each after the agent has said what it had said before it then. Resolves to what was different: empty when the agent is as
   * the recorded one was.
   */
  play(signal: AbortSignal): Promise<string[]>
  close(): Promise<void>
}

/** How long an agent may take for what it said or came to in the recording. */
const PATIENCE_MS = 60_000
/** Calls that change nothing may be made again until they answer as they did. */
const READING = /^(GET |HealthCheck$|Get|List)/

/** What an agent may say at any time, as often as a slower or faster host gives it cause to. */
const ANY_TIME: ReadonlySet<string> = new Set([
  ...['GetNode', 'GetPool', 'ListPoolFiles', 'NotifyStorageChange', 'NotifyVMChange', 'ReconnectPool'],
  ...['ScanLocalImages', 'SyncFullState', 'SyncNodeVMs', 'notify'],
])

interface Said {
  readonly call: string
  readonly request: unknown
}

/** Starts a server that answers like the control plane of the recording. The variables of the recording have been filled in, but for those that the agent makes up. */
export async function startReplay(recorded: readonly Exchange[], patienceMs = PATIENCE_MS): Promise<Replay> {
  const said: Said[] = []
  const unheardOf = new Set<string>()
  let position = 0

  const answer = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const path = new URL(request.url ?? '/', 'http://replay').pathname
    const call = path.slice(path.lastIndexOf('/') + 1)
    said.push({ call, request: await readJson(request) })
    const same = recorded.filter((exchange) => exchange.from === 'agent' && exchange.call === call)
    if (same.length === 0) {
      if (!ANY_TIME.has(call)) unheardOf.add(call)
      throw new ConnectError('unimplemented', `${call} is not in the recording`)
    }
    // What the control plane said last by then, else what it will say first.
    const exchange = recorded.slice(0, position).findLast((each) => same.includes(each)) ?? same[0]
    if (exchange === undefined) throw new ConnectError('internal', 'nothing was answered')
    const { outcome, headers } = exchange
    if (outcome === 'ok') return sendMessage(response, exchange.response as object)
    // Whatever kept the answer back then: this is the quickest way to have none.
    if (outcome === 'none') return void request.socket.resetAndDestroy()
    if (!/^\d{3}$/.test(outcome)) throw new ConnectError(outcome, 'as recorded')
    response.writeHead(Number(outcome), headers)
    response.end(String(exchange.response))
  }
  const server = createServer((request, response) => {
    answer(request, response).catch((error: unknown) =>
      sendError(response, error instanceof ConnectError ? error : new ConnectError('internal', String(error))),
    )
  }).listen(0, '127.0.0.1')
  await once(server, 'listening')

  /** Waits until the agent has said this, after `from`; false when it does not. */
  const hears = async (exchange: Exchange, from: number, signal: AbortSignal): Promise<boolean> => {
    const deadline = performance.now() + patienceMs
    while (!said.slice(from).some(({ call, request }) => call === exchange.call && agree(exchange.request, request))) {
      if (performance.now() > deadline) return false
      await pause(50, undefined, { signal })
    }
    return true
  }

  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async play(signal) {
      const differences: string[] = []
      const variables: Record<string, string> = {}
      const clients = new Map<string, NodeClient>()
      const kept = withoutRepetitions(recorded)
      for (const [index, exchange] of kept.entries()) {
        position = recorded.indexOf(exchange) + 1
        const wanted = fill(exchange, variables)
        if (wanted.from === 'agent') {
          // What was answered in another way the time before has to be said again to be answered in this one.
          const from = kept.slice(0, index).some((other) => sameWords(other, exchange)) ? said.length : 0
          if (!(await hears(wanted, from, signal))) {
            const others = said.filter(({ call }) => call === wanted.call).map(({ request }) => essence(request))
            differences.push(
              `${index}: the agent did not say ${wanted.call} ${JSON.stringify(essence(wanted.request))}, but ${JSON.stringify(others.at(-1) ?? 'nothing')}`,
            )
          }
          continue
        }
        const now = await repeat(wanted, clients, performance.now() + patienceMs, signal)
        Object.assign(variables, bindings(wanted.response, now.response))
        const expected = fill(wanted, variables)
        if (now.outcome !== expected.outcome || !agree(expected.response, now.response)) {
          differences.push(
            `${index}: ${wanted.call} was answered ${expected.outcome} ${JSON.stringify(essence(expected.response))} then, ${now.outcome} ${JSON.stringify(essence(now.response))} now`,
          )
        }
      }
      for (const call of unheardOf) differences.push(`the agent called ${call}, which is not in the recording`)
      for (const client of clients.values()) client.close()
      return differences
    },
    async close() {
      server.closeAllConnections()
      server.close()
      await once(server, 'close')
    },
  }
}

type Answer = Pick<Exchange, 'outcome' | 'response'>

/** The same call again; one that only reads until it answers as it did, or the time is over. */
async function repeat(
  exchange: Exchange,
  clients: Map<string, NodeClient>,
  deadline: number,
  signal: AbortSignal,
): Promise<Answer> {
  for (;;) {
    const now = await make(exchange, clients, signal)
    const same = now.outcome === exchange.outcome && agree(exchange.response, now.response)
    if (same || !READING.test(exchange.call) || performance.now() > deadline) return now
    await pause(200, undefined, { signal })
  }
}

async function make(exchange: Exchange, clients: Map<string, NodeClient>, signal: AbortSignal): Promise<Answer> {
  const { agent, call, request, over } = exchange
  if (over === 'http') {
    const [method, path] = call.split(' ') as ['GET' | 'POST', string]
    const body = (request ?? undefined) as object | undefined
    const answer = await callNode(`http://${agent}`, method, path, body, signal)
    return { outcome: String(answer.status), response: answer.body }
  }
  const client = clients.get(agent) ?? new NodeClient(agent)
  clients.set(agent, client)
  try {
    return { outcome: 'ok', response: await client.call(call, request as object, PATIENCE_MS) }
  } catch (error) {
    return { outcome: error instanceof NodeCallError ? goName(error.status) : 'none', response: null }
  }
}

function sameWords(one: Exchange, other: Exchange): boolean {
  return one.from === other.from && one.call === other.call && agree(one.request, other.request)
}

/** Without what was said again in the same words and answered in the same way, and with only the last answer of a poll. */
function withoutRepetitions(recorded: readonly Exchange[]): Exchange[] {
  const seen: Exchange[] = []
  return recorded.filter((exchange, index) => {
    const { from, call, over } = exchange
    const next = recorded.slice(index + 1).find((other) => other.from === from)
    if (from === 'control-plane') return !(over === 'http' && next?.call === call && call.startsWith('GET '))
    const before = seen.findLast((other) => sameWords(other, exchange))
    // What an agent may say at any time is not waited for twice.
    if (before !== undefined && (before.outcome === exchange.outcome || ANY_TIME.has(call))) return false
    seen.push(exchange)
    return true
  })
}
