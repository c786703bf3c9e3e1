import { randomUUID } from 'node:crypto'
import { once } from 'node:events'
import { readFile } from 'node:fs/promises'
import { connect, type Socket } from 'node:net'
import { PassThrough, type Duplex } from 'node:stream'
import path from 'node:path'
import { status } from '@grpc/grpc-js'
import { createWebSocketStream, WebSocket } from 'ws'
import { afterAll, afterEach, beforeAll, describe, expect, inject, test } from 'vitest'
import { endConsolesWithVm } from '../../../src/consoles/end-with-vm.ts'
import { createAgentClient } from '../../../src/cli/agent-client.ts'
import { consoleCommand } from '../../../src/cli/console-command.ts'
import { ConsoleConnections } from '../../../src/consoles/connections.ts'
import { ConsoleTickets } from '../../../src/consoles/console-tickets.ts'
import { VncRelays } from '../../../src/consoles/vnc-relays.ts'
import { silentLogger } from '../../../src/core/context.ts'
import { domainRef, readDomainXml } from '../../../src/domains/libvirt-domain.ts'
import { readXml } from '../../../src/domains/read-xml.ts'
import { startHttpServer, type HttpServer } from '../../../src/http/server.ts'
import { createConsoleService } from '../../../src/services/console-service.ts'
import type { Services } from '../../../src/services/contracts.ts'
import { until } from '../../support/until.ts'
import { missingLibvirt, requirePrerequisite } from '../require.ts'
import {
  endAgent,
  makeBase,
  newDisk,
  openAgent,
  removeBase,
  vmRequest,
  waitForBoot,
  within,
  type AgentParts,
} from './agent-fixture.ts'
import { makeBootImage } from './boot-sector.ts'
import { fakeServices } from '../../unit/grpc/fake-services.ts'
import { ask, failure, openGrpc } from './grpc-agent.ts'

const missing = await requirePrerequisite('libvirt', missingLibvirt)

describe.skipIf(missing !== undefined)('consoles', () => {
  let agent: AgentParts
  let connections: ConsoleConnections
  let http: HttpServer
  let services: Services
  let grpc: Awaited<ReturnType<typeof openGrpc>>
  const foreign: string[] = []

  beforeAll(async () => {
    agent = await openAgent(await makeBase(), inject('libvirtDir') ?? '')
    connections = new ConsoleConnections({ maxTotal: 16 })
    endConsolesWithVm(connections, agent.inventory)
    const consoles = createConsoleService({
      libvirt: agent.client,
      inventory: agent.inventory,
      relays: new VncRelays({ firstPort: 27_000, lastPort: 27_099, connections, log: silentLogger }),
      tickets: new ConsoleTickets(),
      connections,
      managementAddress: () => Promise.resolve('127.0.0.1'),
      stateDir: path.join(agent.base, 'state'),
      log: silentLogger,
    })
    grpc = await openGrpc({ consoles })
    services = { ...fakeServices(), consoles }
    http = await startHttpServer({ services, listen: { host: '127.0.0.1', port: 0 }, log: silentLogger })
    for (const manners of ['ignores', 'echoes'] as const)
      await makeBootImage(path.join(agent.base, `images/${manners}.qcow2`), manners)
  })
  afterEach(async () => {
    for (const vmId of foreign.splice(0)) {
      await agent.client.call('remote:DOMAIN_DESTROY_FLAGS', { dom: domainRef(vmId), flags: 0 })
    }
  })
  afterAll(async () => {
    connections.close()
    grpc.close()
    await http.close(1000)
    await endAgent(agent)
    await removeBase(agent.base)
  })

  const getConsole = (vmId: string) => ask(grpc.client, grpc.client.GetConsole, { vmId })
  const running = async (manners: 'ignores' | 'echoes' = 'ignores') => {
    const backingFile = path.join(agent.base, `images/${manners}.qcow2`)
    const { vmId, ...request } = vmRequest({}, { disks: [newDisk({ backingFile })] })
    await agent.vms.create({ vmId, ...request }, within())
    await agent.vms.start(vmId, within())
    return vmId
  }
  const startForeign = async (devices: string) => {
    const vmId = randomUUID()
    const xml = `<domain type='qemu'><name>f-${vmId.slice(0, 8)}</name><uuid>${vmId}</uuid><memory unit='MiB'>64</memory>
      <os><type arch='x86_64' machine='q35'>hvm</type></os><devices>${devices}</devices></domain>`
    await agent.client.call('remote:DOMAIN_CREATE_XML', { xml_desc: xml, flags: 0 })
    foreign.push(vmId)
    return vmId
  }

  test('a running VM is seen through a relay, once', async () => {
    const vmId = await running()
    await waitForBoot(agent, vmId)
    const console = await getConsole(vmId)
    expect(console).toMatchObject({ type: 'vnc', host: '127.0.0.1', password: '', websocketPath: '' })
    const viewer = await dial(console.port ?? 0)
    await handshake(viewer)
    // The screen of the guest in the name that QEMU gives it.
    viewer.write(Buffer.of(1))
    const init = await take(viewer, 24)
    expect(init.readUInt16BE(0)).toBeGreaterThanOrEqual(640)
    expect((await take(viewer, init.readUInt32BE(20))).toString()).toContain('QEMU')
    await expect(dial(console.port ?? 0)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
    viewer.destroy()
    await until(async () => connections.vms().size === 0)
    // A console that was closed can be opened again.
    const again = await dial((await getConsole(vmId)).port ?? 0)
    await handshake(again)
    await agent.vms.forceStop(vmId, within())
    if (!again.closed) await once(again.resume(), 'close')
    expect(connections.vms().size).toBe(0)
  })

  test('the display of every VM listens on loopback alone', async () => {
    const vmId = await running()
    const xml = await readDomainXml(agent.client, domainRef(vmId), vmId, within())
    const graphics =
      readXml(xml ?? '')
        .first('devices')
        ?.all('graphics') ?? []
    expect(graphics.map((one) => [one.attribute('type'), one.attribute('listen')])).toEqual([['vnc', '127.0.0.1']])
    const port = Number(graphics[0]?.attribute('port')).toString(16).toUpperCase().padStart(4, '0')
    const sockets = (await readFile('/proc/net/tcp', 'utf8')) + (await readFile('/proc/net/tcp6', 'utf8'))
    const listening = sockets.split('\n').filter((line) => new RegExp(`:${port} [0-9A-F]+:0000 0A `).test(line))
    expect(listening.map((line) => line.trim().split(' ')[1])).toEqual([`0100007F:${port}`])
  })

  test('a VM that is off, unknown, or stops while a relay waits', async () => {
    const off = vmRequest()
    await agent.vms.create(off, within())
    const error = await failure(getConsole(off.vmId))
    expect(error).toMatchObject({ code: status.FAILED_PRECONDITION })
    expect(error.metadata.get('limiquantix-reason')).toEqual(['CONSOLE_OFF'])
    expect((await failure(getConsole(randomUUID()))).code).toBe(status.NOT_FOUND)
    const vmId = await running()
    const { port = 0 } = await getConsole(vmId)
    await agent.vms.forceStop(vmId, within())
    await until(async () => connections.vms().size === 0)
    await expect(dial(port)).rejects.toMatchObject({ code: 'ECONNREFUSED' })
  })

  const ticketFor = async (vmId: string, kind: string, force = false) => {
    const response = await fetch(`${http.address}/api/v1/vms/${vmId}/console/tickets`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ kind, force }),
    })
    return { status: response.status, ...((await response.json()) as { websocketPath: string; error?: string }) }
  }
  const webSocket = async (websocketPath: string, origin?: string): Promise<Duplex> => {
    const url = `${http.address.replace('http', 'ws')}${websocketPath}`
    const socket = new WebSocket(url, ['binary'], origin === undefined ? {} : { origin })
    // Before it is open: the first message may come together with the answer.
    const stream = createWebSocketStream(socket)
    stream.on('error', () => undefined)
    const refused = once(socket, 'unexpected-response').then(async ([, response]) => {
      let text = ''
      for await (const chunk of response as AsyncIterable<Buffer>) text += chunk.toString()
      throw new Error(text)
    })
    refused.catch(() => undefined)
    await Promise.race([once(socket, 'open'), refused])
    return stream
  }
  const ended = async (stream: Duplex) => {
    stream.resume()
    // Not its close: its other half is open until it is ended here.
    if (!stream.readableEnded) await once(stream, 'end', { signal: within() })
  }

  test('the display over WebSocket, from a page of any origin, once per ticket', async () => {
    const vmId = await running()
    const { status: created, websocketPath } = await ticketFor(vmId, 'vnc')
    expect(created).toBe(201)
    await expect(webSocket(websocketPath.replace(vmId, randomUUID()))).rejects.toThrow('ticket_invalid')
    await expect(webSocket(websocketPath)).rejects.toThrow('ticket_invalid')
    const again = (await ticketFor(vmId, 'vnc')).websocketPath
    const viewer = await webSocket(again, 'https://panel.example')
    await handshake(viewer)
    await expect(webSocket(again)).rejects.toThrow('ticket_invalid')
    viewer.destroy()
    await until(async () => connections.vms().size === 0)
  })

  test('the serial console over WebSocket: what is typed comes back; one at a time, unless by force; and its log', async () => {
    const vmId = await running('echoes')
    await waitForBoot(agent, vmId)
    const first = await webSocket((await ticketFor(vmId, 'serial')).websocketPath)
    first.write('hello guest')
    expect((await take(first, 11)).toString()).toBe('hello guest')
    await expect(webSocket((await ticketFor(vmId, 'serial')).websocketPath)).rejects.toThrow('console_busy')
    const second = await webSocket((await ticketFor(vmId, 'serial', true)).websocketPath)
    await ended(first)
    second.write('it is mine')
    expect((await take(second, 10)).toString()).toBe('it is mine')
    await agent.vms.forceStop(vmId, within())
    await ended(second)
    expect(connections.vms().size).toBe(0)
    expect(await ticketFor(vmId, 'serial')).toMatchObject({ status: 409, error: 'console_off' })
    // virtlogd writes it, whenever it gets to it.
    const log = async () => (await fetch(`${http.address}/api/v1/vms/${vmId}/console/log?lines=10`)).json()
    await expect
      .poll(log, { timeout: 30_000 })
      .toMatchObject({ vmId, consoleLog: expect.stringMatching(/BOOTED\r\nhello guestit is mine/) })
    expect((await fetch(`${http.address}/api/v1/vms/${randomUUID()}/console/log`)).status).toBe(404)
  })

  test('the command on this host: what is typed goes to the guest, until Ctrl-]', async () => {
    const vmId = await running('echoes')
    await waitForBoot(agent, vmId)
    const path = `${agent.base}/agent.sock`
    await using server = {
      http: await startHttpServer({ services, listen: { path }, log: silentLogger }),
      [Symbol.asyncDispose]: () => server.http.close(0),
    }
    const [input, output, told] = [new PassThrough(), new PassThrough(), [] as string[]]
    const tell = (line: string) => void told.push(line)
    const run = consoleCommand(createAgentClient(path), path, { name: vmId, force: false }, { input, output, tell })
    input.write('typed')
    expect((await take(output, 5)).toString()).toBe('typed')
    input.write(Buffer.from('end\x1dnot sent'))
    await run
    expect(told).toEqual([expect.stringContaining(vmId), 'Disconnected.'])
    await until(async () => connections.vms().size === 0)
    await agent.vms.forceStop(vmId, within())
    const off = consoleCommand(createAgentClient(path), path, { name: vmId, force: false }, { input, output, tell })
    await expect(off).rejects.toThrow('[CONSOLE_OFF]')
  })

  test('a serial console carries pages of text, and is free again when its viewer vanishes', async () => {
    const vmId = await running('echoes')
    await waitForBoot(agent, vmId)
    const stream = await webSocket((await ticketFor(vmId, 'serial')).websocketPath)
    const text = Buffer.from(Array.from({ length: 2_000 }, (_, n) => 32 + (n % 95)))
    stream.write(text)
    const back: Buffer[] = []
    for (let bytes = 0; bytes < text.length;) {
      back.push(await take(stream, 100))
      bytes += back.at(-1)?.length ?? 0
    }
    expect(Buffer.concat(back).equals(text)).toBe(true)
    stream.destroy()
    // Left without a word, the console is free again at once.
    const next = await until(async () => {
      const { websocketPath } = await ticketFor(vmId, 'serial')
      return webSocket(websocketPath).catch(() => undefined)
    })
    next.destroy()
  })

  test('displays of foreign domains: with a password, on a socket, or none', async () => {
    const secret = await startForeign(`<graphics type='vnc' port='-1' listen='0.0.0.0' passwd='geheim42'/>`)
    const console = await getConsole(secret)
    expect(console.password).toBe('geheim42')
    const viewer = await dial(console.port ?? 0)
    // VNC authentication and nothing less.
    expect(await security(viewer)).toEqual([2])
    viewer.destroy()
    const none = await startForeign('')
    expect((await failure(getConsole(none))).metadata.get('limiquantix-reason')).toEqual(['CONSOLE_ABSENT'])
    const socket = await startForeign(`<graphics type='vnc'><listen type='socket'/></graphics>`)
    const { port = 0 } = await getConsole(socket)
    // The socket is in a directory of libvirt's, which this libvirt has elsewhere: the relay is offered, and ends with the attempt.
    const late = await dial(port)
    if (!late.closed) await once(late.resume(), 'close')
  })
})

async function dial(port: number): Promise<Socket> {
  const socket = connect({ host: '127.0.0.1', port })
  const failed = once(socket, 'error').then(([error]) => Promise.reject(error as Error))
  failed.catch(() => undefined)
  await Promise.race([once(socket, 'connect'), failed])
  return socket
}

const unread = new WeakMap<Duplex, { bytes: Buffer }>()

// All that comes is kept: a piece may be more, or less, than what is asked for.
async function take(stream: Duplex, count: number): Promise<Buffer> {
  const kept = unread.get(stream) ?? { bytes: Buffer.alloc(0) }
  if (!unread.has(stream)) {
    unread.set(stream, kept)
    stream.on('data', (piece: Buffer) => (kept.bytes = Buffer.concat([kept.bytes, piece])))
  }
  await until(async () => kept.bytes.length >= count)
  const taken = kept.bytes.subarray(0, count)
  kept.bytes = kept.bytes.subarray(count)
  return taken
}

// RFC 6143, 7.1: the version of both sides, then the kinds of authentication that the server offers.
async function security(viewer: Duplex): Promise<number[]> {
  expect((await take(viewer, 12)).toString()).toBe('RFB 003.008\n')
  viewer.write('RFB 003.008\n')
  const [count = 0] = await take(viewer, 1)
  return [...(await take(viewer, count))]
}

async function handshake(viewer: Duplex): Promise<void> {
  expect(await security(viewer)).toContain(1)
  viewer.write(Buffer.of(1))
  expect((await take(viewer, 4)).readUInt32BE(0)).toBe(0)
}
