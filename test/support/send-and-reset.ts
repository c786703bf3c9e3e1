import { execFileSync } from 'node:child_process'

// The bytes are in the buffers of the receiver when the reset comes.
const CLIENT = `
const [port, bytes] = process.argv.slice(1)
const socket = require('node:net').connect(Number(port), '127.0.0.1')
socket.on('connect', () => socket.write(Buffer.from(bytes, 'base64'), () => socket.resetAndDestroy()))
`

/** Connects to a TCP port of this process, sends the bytes and resets the connection, all before it can be accepted: this thread waits meanwhile. */
export function sendAndReset(port: number, bytes: Buffer): void {
  execFileSync(process.execPath, ['-e', CLIENT, String(port), bytes.toString('base64')], { timeout: 60_000 })
}
