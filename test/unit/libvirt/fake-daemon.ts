import { randomUUID } from 'node:crypto'
import { createServer, type Server, type Socket } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { silentLogger } from '../../../src/core/context.ts'
import { LibvirtClient, type LibvirtClientOptions } from '../../../src/libvirt/client.ts'
import type { EventMessages, Procedures } from '../../../src/libvirt/wire/procedures.gen.ts'
import { e_virNetMessageError } from '../../../src/libvirt/wire/net-peer.gen.ts'
import type { VirNetMessageError } from '../../../src/libvirt/wire/net-types.gen.ts'
import { qemuPeer } from '../../../src/libvirt/wire/qemu-peer.gen.ts'
import { remotePeer } from '../../../src/libvirt/wire/remote-peer.gen.ts'
import { XdrReader } from '../../../src/libvirt/xdr-reader.ts'
import { XdrWriter } from '../../../src/libvirt/xdr-writer.ts'

export const KEEPALIVE = 0x6b656570
const PROGRAMS = [remotePeer, qemuPeer]
type Name = keyof Procedures

interface PeerProcedure {
  readonly number: number
  readonly encode: ((w: XdrWriter, v: never) => void) | undefined
  readonly decode: ((r: XdrReader) => unknown) | undefined
}

export interface Packet {
  readonly program: number
  readonly procedure: number
  readonly type: number
  readonly serial: number
  readonly status: number
  readonly body: Buffer
}

/** A call that came in; a test answers it when it likes. */
export class ReceivedCall {
  readonly name: Name
  readonly args: unknown
  readonly packet: Packet
  readonly connection: FakeConnection

  constructor(connection: FakeConnection, name: Name, args: unknown, packet: Packet) {
    this.connection = connection
    this.name = name
    this.args = args
    this.packet = packet
  }

  reply(ret: unknown): void {
    this.connection.send({ ...this.packet, type: 1, status: 0, body: this.encodeReply(ret) })
  }

  encodeReply(ret: unknown): Buffer {
    const writer = new XdrWriter()
    procedureOf(this.name).encode?.(writer, ret as never)
    return Buffer.from(writer.written())
  }

  fail(error: Partial<VirNetMessageError>, type = 1): void {
    this.connection.send({ ...this.packet, type, status: 1, body: errorBody(error) })
  }

  /** A stream packet in the name of this call. */
  stream(body: Buffer, status = 2, type = 3): void {
    this.connection.send({ ...this.packet, type, status, body })
  }
}

export function errorBody(error: Partial<VirNetMessageError>): Buffer {
  const writer = new XdrWriter()
  const none = { str1: null, str2: null, str3: null, int1: 0, int2: 0, dom: null, net: null }
  e_virNetMessageError(writer, { code: 1, domain: 0, level: 2, message: 'failed', ...none, ...error })
  return Buffer.from(writer.written())
}

function procedureOf(name: Name): PeerProcedure {
  for (const { procedures } of PROGRAMS) {
    const found = (procedures as Record<string, PeerProcedure>)[name]
    if (found !== undefined) return found
  }
  throw new Error(`no procedure ${name}`)
}

export function frame(packet: Packet): Buffer {
  const writer = new XdrWriter()
  writer.uint(28 + packet.body.length)
  for (const n of [packet.program, 1, packet.procedure, packet.type, packet.serial, packet.status]) writer.uint(n)
  writer.raw(packet.body)
  return Buffer.from(writer.written())
}

/** One accepted connection. */
export class FakeConnection {
  readonly socket: Socket
  readonly packets: Packet[] = []
  closed = false
  readonly #daemon: FakeDaemon
  #pending = Buffer.alloc(0)

  constructor(daemon: FakeDaemon, socket: Socket) {
    this.#daemon = daemon
    this.socket = socket
    socket.on('data', (chunk) => this.#onData(chunk))
    socket.on('error', () => {
      // The client may go away in any way it likes.
    })
    socket.on('close', () => {
      this.closed = true
      daemon.changed()
    })
  }

  send(packet: Packet): void {
    this.socket.write(frame(packet))
  }

  sendRaw(bytes: Buffer): void {
    this.socket.write(bytes)
  }

  event<E extends keyof EventMessages>(name: E, message: EventMessages[E]): void {
    for (const { program, events } of PROGRAMS) {
      for (const [procedure, event] of events) {
        if (event.name !== name) continue
        const writer = new XdrWriter()
        event.encode(writer, message as never)
        this.send({ program, procedure, type: 2, serial: 0, status: 0, body: Buffer.from(writer.written()) })
      }
    }
  }

  #onData(chunk: Buffer): void {
    this.#pending = Buffer.concat([this.#pending, chunk])
    while (this.#pending.length >= 4 && this.#pending.length >= this.#pending.readUInt32BE()) {
      const length = this.#pending.readUInt32BE()
      const reader = new XdrReader(this.#pending.subarray(4, length))
      const [program, , procedure, type, serial, status] = [0, 0, 0, 0, 0, 0].map(() => reader.uint()) as [
        number,
        number,
        number,
        number,
        number,
        number,
      ]
      const packet = { program, procedure, type, serial, status, body: reader.rest() }
      this.#pending = this.#pending.subarray(length)
      this.packets.push(packet)
      if (type === 0) this.#daemon.onCall(this, packet)
      this.#daemon.changed()
    }
  }
}

/** Answers a call: a value is the result, undefined leaves the call open for the test. */
export type Handler = (call: ReceivedCall) => unknown

/** A libvirt daemon that does exactly what a test says. The handshake is answered unless a test takes it over. */
export class FakeDaemon {
  readonly socketPath = join(tmpdir(), `lqx-fake-${randomUUID()}.sock`)
  readonly connections: FakeConnection[] = []
  readonly calls: ReceivedCall[] = []
  readonly handlers = new Map<string, Handler>()
  #server: Server | undefined
  #waiters: (() => void)[] = []

  constructor() {
    let callbackId = 0
    this.handle('remote:AUTH_LIST', () => ({ types: [0] }))
    this.handle('remote:CONNECT_SUPPORTS_FEATURE', () => ({ supported: 1 }))
    this.handle('remote:CONNECT_OPEN', () => ({}))
    this.handle('remote:CONNECT_GET_LIB_VERSION', () => ({ lib_ver: 9_000_000n }))
    this.handle('remote:CONNECT_REGISTER_CLOSE_CALLBACK', () => ({}))
    this.handle('remote:CONNECT_DOMAIN_EVENT_CALLBACK_REGISTER_ANY', () => ({ callbackID: callbackId++ }))
    this.handle('remote:CONNECT_DOMAIN_EVENT_CALLBACK_DEREGISTER_ANY', () => ({}))
  }

  handle(name: Name, handler: Handler): void {
    this.handlers.set(name, handler)
  }

  async listen(): Promise<this> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server = createServer((socket) => {
      this.connections.push(new FakeConnection(this, socket))
      this.changed()
    }).listen(this.socketPath, resolve)
    await promise
    return this
  }

  /** Dies as by SIGKILL: every connection is cut and the socket refuses. */
  async die(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#server?.close(() => resolve())
    for (const connection of this.connections.splice(0)) connection.socket.destroy()
    await promise
  }

  onCall(connection: FakeConnection, packet: Packet): void {
    for (const { program, procedures } of PROGRAMS) {
      for (const [name, procedure] of Object.entries(procedures as Record<string, PeerProcedure>)) {
        if (program !== packet.program || procedure.number !== packet.procedure) continue
        const call = new ReceivedCall(connection, name as Name, procedure.decode?.(new XdrReader(packet.body)), packet)
        this.calls.push(call)
        const ret = this.handlers.get(name)?.(call)
        if (ret !== undefined) call.reply(ret)
      }
    }
  }

  /** Wakes `until`. */
  changed(): void {
    for (const wake of this.#waiters.splice(0)) wake()
  }

  /** Waits for the daemon to have seen something; the test's own timeout bounds it. */
  async until<T>(look: () => T | undefined | false): Promise<T> {
    for (;;) {
      const found = look()
      if (found !== undefined && found !== false) return found
      const { promise, resolve } = Promise.withResolvers<void>()
      this.#waiters.push(resolve)
      await promise
    }
  }

  /** The calls of one procedure, waiting for at least `count`. */
  async received(name: Name, count = 1): Promise<ReceivedCall[]> {
    return this.until(() => {
      const found = this.calls.filter((call) => call.name === name)
      return found.length >= count && found
    })
  }
}

/** A client of the fake daemon, connected. */
export async function connectedClient(
  daemon: FakeDaemon,
  options: Partial<LibvirtClientOptions> = {},
): Promise<LibvirtClient> {
  const client = new LibvirtClient({
    uri: 'qemu:///system',
    socketPath: daemon.socketPath,
    log: silentLogger,
    ...options,
  })
  await client.ready(AbortSignal.timeout(10_000))
  return client
}

/** A domain of which only the UUID matters. */
export const domain = (n: number) => ({ name: `vm${n}`, uuid: new Uint8Array(16).fill(n), id: n })
