import { WebSocket, createWebSocketStream } from 'ws'
import { AgentError } from '../core/errors.ts'
import type { AgentClient } from './agent-client.ts'
import { findVm } from './find-vm.ts'

/** Ctrl-], as in virsh and telnet. */
const ESCAPE = 0x1d

/** The ends of a terminal session. */
export interface Terminal {
  readonly input: NodeJS.ReadableStream & { readonly isTTY?: boolean; setRawMode?(raw: boolean): unknown }
  readonly output: NodeJS.WritableStream
  /** For people, beside the console's own output. */
  tell(line: string): void
}

interface Ticket {
  readonly websocketPath: string
}

/**
 * Connects the terminal with the serial console of a VM, named by id or name, until Ctrl-] is typed, the input ends, or the console does. `socketPath` is the agent's socket. Errors of the routes; AGENT_UNREACHABLE.
 */
export async function consoleCommand(
  agent: AgentClient,
  socketPath: string,
  vm: { readonly name: string; readonly force: boolean },
  terminal: Terminal,
): Promise<void> {
  const url = `/api/v1/vms/${await findVm(vm.name, agent)}/console/tickets`
  const { websocketPath } = (await agent.call('POST', url, { kind: 'serial', force: vm.force })) as Ticket
  const socket = new WebSocket(`ws+unix:${socketPath}:${websocketPath}`)
  const stream = createWebSocketStream(socket)
  const ended = Promise.withResolvers<void>()
  stream.on('end', ended.resolve)
  stream.on('error', () => ended.resolve())
  await opened(socket)
  const { input, output } = terminal
  terminal.tell(`Connected to the serial console of ${vm.name}. Ctrl-] ends it.`)
  const onData = (data: Buffer) => {
    const at = data.indexOf(ESCAPE)
    const typed = at === -1 ? data : data.subarray(0, at)
    if (typed.length > 0 && !stream.write(typed)) {
      input.pause()
      stream.once('drain', () => input.resume())
    }
    if (at !== -1) ended.resolve()
  }
  try {
    if (input.isTTY === true) input.setRawMode?.(true)
    input.on('data', onData)
    input.once('end', ended.resolve)
    stream.pipe(output, { end: false })
    await ended.promise
  } finally {
    input.off('data', onData)
    if (input.isTTY === true) input.setRawMode?.(false)
    input.pause()
    socket.terminate()
  }
  terminal.tell('Disconnected.')
}

async function opened(socket: WebSocket): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>()
  socket.once('open', resolve)
  socket.once('error', (error) => reject(new AgentError('AGENT_UNREACHABLE', `the console broke: ${error.message}`)))
  socket.once('unexpected-response', (_request, response) => {
    let text = ''
    response.setEncoding('utf8')
    response.on('data', (chunk: string) => (text += chunk))
    response.on('end', () => reject(refusal(response.statusCode, text)))
  })
  await promise
}

function refusal(status: number | undefined, text: string): AgentError {
  let said: { error?: string; message?: string } = {}
  try {
    said = JSON.parse(text) as typeof said
  } catch {
    // Not the agent's own answer; the status has to do.
  }
  const { error, message = `HTTP ${status}` } = said
  return new AgentError('AGENT_REFUSED', `${message}${error === undefined ? '' : ` [${error.toUpperCase()}]`}`)
}
