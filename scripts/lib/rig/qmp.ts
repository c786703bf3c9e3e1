// Runs commands of QEMU's monitor protocol, one after the other: node qmp.ts SOCKET '{"execute": …}'…
// Prints each answer as a line of JSON; ends with 1 at the first error.
import { once } from 'node:events'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'

const [socketPath = '', ...commands] = process.argv.slice(2)
const socket = connect(socketPath)
const lines = createInterface(socket)[Symbol.asyncIterator]()

// Events come in between; only answers have one of these two keys.
async function answer(): Promise<{ return?: unknown; error?: { desc: string } }> {
  for (;;) {
    const { value, done } = await lines.next()
    if (done === true) throw new Error('QEMU closed the connection')
    const message = JSON.parse(value) as { return?: unknown; error?: { desc: string } }
    if ('return' in message || 'error' in message) return message
  }
}

async function ask(command: string): Promise<unknown> {
  socket.write(`${command}\n`)
  const { error, return: result } = await answer()
  if (error !== undefined) throw new Error(`${command}: ${error.desc}`)
  return result
}

await once(socket, 'connect')
await ask('{"execute":"qmp_capabilities"}')
for (const command of commands) process.stdout.write(`${JSON.stringify(await ask(command))}\n`)
socket.destroy()
