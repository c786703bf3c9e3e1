import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import path from 'node:path'
import { createInterface } from 'node:readline'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { startAgent } from '../../support/agent-process.ts'
import { until } from '../../support/until.ts'
import { missingCommand, requirePrerequisite } from '../require.ts'

// Node has no datagram sockets of AF_UNIX, so the service manager's end is a few lines of Python.
const RECEIVER = `
import socket, sys
s = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
s.bind(sys.argv[1])
print('bound', flush=True)
while True: print(s.recv(4096).decode().replace('\\n', ' '), flush=True)
`

let directory: string
const open: (() => unknown)[] = []

beforeEach(async () => {
  directory = await mkdtemp(path.join(tmpdir(), 'lqx-notify-'))
})
afterEach(async () => {
  for (const close of open.splice(0).reverse()) await close()
  await rm(directory, { recursive: true, force: true })
})

/** A notify socket as systemd has it, and the messages that came in. */
async function notifySocket(): Promise<{ path: string; messages: string[] }> {
  const socket = path.join(directory, 'notify')
  const receiver = spawn('python3', ['-c', RECEIVER, socket], { stdio: ['ignore', 'pipe', 'inherit'] })
  open.push(() => receiver.kill('SIGKILL'))
  const messages: string[] = []
  const lines = createInterface(receiver.stdout)
  await once(lines, 'line')
  lines.on('line', (line) => messages.push(line))
  return { path: socket, messages }
}

const missing =
  (await requirePrerequisite('systemd', missingCommand('systemd-notify'))) ||
  (await requirePrerequisite('python3', missingCommand('python3')))

describe.skipIf(missing)('the agent under a service manager', () => {
  it('says when it serves, feeds the watchdog from its own API, and says when it stops', async () => {
    const { path: socket, messages } = await notifySocket()
    const agent = await startAgent({
      directory: path.join(directory, 'agent'),
      config: { hypervisor: { libvirt_uri: 'qemu+unix:///system?socket=/nowhere/libvirt-sock' } },
      env: { NOTIFY_SOCKET: socket, WATCHDOG_USEC: '1000000' },
    })
    open.push(() => agent.stop())
    const ready = await until(async () => messages.find((message) => message.includes('READY=1')))
    expect(ready).toContain(`STATUS=gRPC ${agent.grpcAddress}`)
    await until(async () => messages.filter((message) => message.includes('WATCHDOG=1')).length >= 2)
    expect(await agent.stop()).toBe(0)
    await until(async () => messages.some((message) => message.includes('STOPPING=1')))
  })
})
