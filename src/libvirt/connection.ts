import { connect as connectSocket, type Socket } from 'node:net'
import { errorText } from '../core/errors.ts'
import { LibvirtError, LibvirtGone, LibvirtProtocolError } from './errors.ts'
import { FrameReader } from './frame-reader.ts'
import { answerKeepalive, Keepalive } from './keepalive.ts'
import type { Procedure, Program } from './program.ts'
import { SendQueue } from './send-queue.ts'
import {
  KEEPALIVE_PROGRAM,
  VIR_NET_CALL,
  VIR_NET_CONTINUE,
  VIR_NET_ERROR,
  VIR_NET_MESSAGE,
  VIR_NET_OK,
  VIR_NET_REPLY,
  VIR_NET_STREAM,
  VIR_NET_STREAM_HOLE,
} from './wire/constants.gen.ts'
import { d_virNetMessageError, d_virNetStreamHole, e_virNetStreamHole } from './wire/net-codec.gen.ts'
import { XdrReader } from './xdr-reader.ts'
import type { XdrWriter } from './xdr-writer.ts'

const UINT32 = 0x1_0000_0000
const READ_BUFFER_BYTES = 64 * 1024

/** A call on its way. `done` is called exactly once, by the reply or by the end of the connection, however late. */
export interface OutgoingCall {
  readonly name: string
  readonly program: Program
  readonly procedure: Procedure
  readonly args: unknown
  /** Receives the stream that follows the reply. */
  readonly stream?: StreamSink
  done(error: Error | undefined, value: unknown): void
}

/** What a stream does with the packets of its serial number. */
export interface StreamSink {
  /** Data from the daemon; an empty buffer is the end of a download. */
  onData(data: Buffer): void
  onHole(lengthBytes: bigint): void
  /** The daemon confirms the end, or its answer to an abort. */
  onFinish(): void
  onError(error: Error): void
}

/** What a connection tells its owner. */
export interface ConnectionHandlers {
  onEvent?(name: string, message: unknown): void
  /** Once, when the connection has ended for whatever reason. */
  onClose?(why: Error): void
  /** Something odd that the connection survives. */
  onWarning?(text: string): void
}

/**
 * One socket to a libvirt daemon: framing, serial numbers, keepalive, calls, events and stream packets. It has no limit of its own on the calls
 * in flight; lanes.ts keeps to what the daemon can take.
 */
export class Connection {
  readonly #socket: Socket
  readonly #handlers: ConnectionHandlers
  readonly #programs: ReadonlyMap<number, Program>
  readonly #frames: FrameReader
  readonly #reader = new XdrReader(Buffer.alloc(0))
  readonly #out: SendQueue
  readonly #calls = new Map<number, OutgoingCall>()
  readonly #streams = new Map<number, { call: OutgoingCall; sink: StreamSink }>()
  #keepalive: Keepalive | undefined
  #serial = 0
  #closedBy: Error | undefined

  private constructor(socket: Socket, programs: readonly Program[], handlers: ConnectionHandlers) {
    this.#socket = socket
    this.#handlers = handlers
    this.#programs = new Map(programs.map((program) => [program.program, program]))
    this.#out = new SendQueue(socket)
    this.#frames = new FrameReader((bytes, start, end) => this.#onMessage(bytes, start, end))
    socket.on('error', (error) => this.close(error))
    socket.on('close', () => this.close(new Error('libvirtd closed the connection')))
  }

  /** Connects to the unix socket at `path`; rejects with the system's error, or the signal's reason. */
  static async open(
    path: string,
    programs: readonly Program[],
    handlers: ConnectionHandlers,
    signal: AbortSignal,
  ): Promise<Connection> {
    signal.throwIfAborted()
    // One buffer for all reads: every message is decoded, or copied, before the next read.
    let connection: Connection | undefined
    const onread = {
      buffer: Buffer.allocUnsafeSlow(READ_BUFFER_BYTES),
      callback: (length: number, buffer: Uint8Array) => {
        if (connection !== undefined) connection.#onData(buffer as Buffer, length)
        return true
      },
    }
    const socket = connectSocket({ path, onread })
    const { promise, resolve, reject } = Promise.withResolvers<void>()
    const onAbort = () => socket.destroy(signal.reason as Error)
    signal.addEventListener('abort', onAbort, { once: true })
    socket.once('connect', resolve)
    socket.once('error', reject)
    try {
      await promise
    } finally {
      signal.removeEventListener('abort', onAbort)
      socket.off('error', reject)
    }
    connection = new Connection(socket, programs, handlers)
    return connection
  }

  /** Calls that are not answered yet, timed-out ones included: each holds one of the few slots that the daemon has for us. */
  get inFlight(): number {
    return this.#calls.size
  }

  get closed(): boolean {
    return this.#closedBy !== undefined
  }

  /** Sends a call and returns its serial number. Throws an XdrError when the arguments do not fit; `done` is not called then. */
  send(call: OutgoingCall): number {
    if (this.#closedBy !== undefined) throw new LibvirtGone(call.name, false, errorText(this.#closedBy), this.#closedBy)
    const serial = this.#nextSerial()
    const { encode, number } = call.procedure
    const { program, version } = call.program
    this.#out.push(
      { program, version, procedure: number, type: VIR_NET_CALL, serial, status: VIR_NET_OK },
      encode === undefined ? undefined : (writer) => encode(writer, call.args as never),
    )
    this.#calls.set(serial, call)
    if (call.stream !== undefined) this.#streams.set(serial, { call, sink: call.stream })
    return serial
  }

  /** Starts our own pings; the daemon's are answered in any case. */
  startKeepalive(intervalMs: number, count: number): void {
    this.#keepalive ??= new Keepalive(this.#out, intervalMs, count, () => {
      this.close(
        new Error(`libvirtd did not answer ${count} keepalive messages in ${(intervalMs * (count + 1)) / 1000} s`),
      )
    })
  }

  /** Sends one data packet of a stream and waits until the socket takes more. */
  async sendStreamData(serial: number, data: Uint8Array): Promise<void> {
    await this.#out.pushAndDrain(this.#streamHeader(serial, VIR_NET_STREAM, VIR_NET_CONTINUE), (writer) =>
      writer.raw(data),
    )
  }

  /** Sends a hole: the daemon skips `lengthBytes`. Only legal when the call asked for a sparse stream. */
  async sendStreamHole(serial: number, lengthBytes: bigint): Promise<void> {
    const encode = (writer: XdrWriter) => e_virNetStreamHole(writer, { length: lengthBytes, flags: 0 })
    await this.#out.pushAndDrain(this.#streamHeader(serial, VIR_NET_STREAM_HOLE, VIR_NET_CONTINUE), encode)
  }

  /** Ends our side of a stream, well (`finish`) or not (`abort`). */
  endStream(serial: number, how: 'finish' | 'abort'): void {
    this.#out.push(this.#streamHeader(serial, VIR_NET_STREAM, how === 'finish' ? VIR_NET_OK : VIR_NET_ERROR))
  }

  /** Stops reading from the socket: only for a connection with one stream and nothing else. */
  pause(): void {
    this.#socket.pause()
  }

  resume(): void {
    this.#socket.resume()
  }

  /** Ends the connection and settles every call on it with LibvirtGone. */
  close(why: Error): void {
    if (this.#closedBy !== undefined) return
    this.#closedBy = why
    this.#keepalive?.stop()
    this.#frames.stop()
    this.#socket.destroy()
    const calls = [...this.#calls.values()]
    const streams = [...this.#streams.values()]
    this.#calls.clear()
    this.#streams.clear()
    for (const { call, sink } of streams) sink.onError(new LibvirtGone(call.name, true, errorText(why), why))
    for (const call of calls) call.done(new LibvirtGone(call.name, true, errorText(why), why), undefined)
    this.#handlers.onClose?.(why)
  }

  #streamHeader(serial: number, type: number, status: number) {
    const stream = this.#streams.get(serial)
    if (stream === undefined) {
      throw new LibvirtGone(
        'the stream',
        false,
        this.#closedBy === undefined ? 'it has ended' : errorText(this.#closedBy),
        this.#closedBy,
      )
    }
    const { program, version } = stream.call.program
    return { program, version, procedure: stream.call.procedure.number, type, serial, status }
  }

  #nextSerial(): number {
    // 0 is for messages that belong to no call, and after 2^32 calls an old one may still be stuck.
    do this.#serial = (this.#serial + 1) % UINT32
    while (this.#serial === 0 || this.#calls.has(this.#serial) || this.#streams.has(this.#serial))
    return this.#serial
  }

  #onData(bytes: Buffer, length: number): void {
    this.#keepalive?.heard()
    try {
      this.#frames.push(bytes, length)
    } catch (error) {
      this.close(
        error instanceof LibvirtProtocolError
          ? error
          : new LibvirtProtocolError(`unreadable message from libvirtd: ${errorText(error)}`, error),
      )
    }
  }

  #onMessage(bytes: Buffer, start: number, end: number): void {
    const reader = this.#reader
    reader.reset(bytes, start, end)
    const program = reader.uint()
    reader.uint()
    const procedure = reader.int()
    const type = reader.int()
    const serial = reader.uint()
    const status = reader.int()
    switch (type) {
      case VIR_NET_REPLY:
        this.#onReply(program, procedure, serial, status)
        break
      case VIR_NET_MESSAGE:
        if (program === KEEPALIVE_PROGRAM) answerKeepalive(procedure, this.#out)
        else this.#onEvent(program, procedure)
        break
      case VIR_NET_STREAM:
      case VIR_NET_STREAM_HOLE:
        this.#onStream(type, program, procedure, serial, status)
        break
      default:
        throw new LibvirtProtocolError(`libvirtd sent a message of type ${type}, which no client expects`)
    }
  }

  #onReply(program: number, procedure: number, serial: number, status: number): void {
    const call = this.#calls.get(serial)
    if (call === undefined) {
      this.#handlers.onWarning?.(`reply with unknown serial ${serial} (program ${program}, procedure ${procedure})`)
      return
    }
    this.#check(call, program, procedure)
    this.#calls.delete(serial)
    let value: unknown
    try {
      if (status === VIR_NET_ERROR) {
        this.#streams.delete(serial)
        call.done(this.#readError(call), undefined)
        return
      }
      value = call.procedure.decode?.(this.#reader)
    } catch (error) {
      // The frame is whole, so only this call is lost, not the connection.
      this.#streams.delete(serial)
      call.done(new LibvirtProtocolError(`unreadable reply to ${call.name}: ${errorText(error)}`, error), undefined)
      return
    }
    call.done(undefined, value)
  }

  #onStream(type: number, program: number, procedure: number, serial: number, status: number): void {
    const stream = this.#streams.get(serial)
    // Packets that were on their way when we aborted.
    if (stream === undefined) return
    const { call, sink } = stream
    this.#check(call, program, procedure)
    if (status === VIR_NET_ERROR) {
      this.#streams.delete(serial)
      const error = this.#reader.remaining > 0 ? this.#readError(call) : undefined
      if (this.#calls.delete(serial))
        call.done(error ?? new LibvirtProtocolError(`${call.name} was refused without a reason`), undefined)
      else if (error === undefined) sink.onFinish()
      else sink.onError(error)
    } else if (status === VIR_NET_OK) {
      this.#streams.delete(serial)
      sink.onFinish()
    } else if (type === VIR_NET_STREAM_HOLE) {
      sink.onHole(d_virNetStreamHole(this.#reader).length)
    } else {
      sink.onData(this.#reader.rest())
    }
  }

  #onEvent(programNumber: number, procedure: number): void {
    const event = this.#programs.get(programNumber)?.events.get(procedure)
    // A newer daemon may have events that we did not ask for.
    if (event === undefined) return
    let message: unknown
    try {
      message = event.decode(this.#reader)
    } catch (error) {
      this.#handlers.onWarning?.(`unreadable event ${event.name}: ${errorText(error)}`)
      return
    }
    this.#handlers.onEvent?.(event.name, message)
  }

  #check(call: OutgoingCall, program: number, procedure: number): void {
    if (call.program.program !== program || call.procedure.number !== procedure) {
      throw new LibvirtProtocolError(`${call.name} was answered by procedure ${procedure} of program ${program}`)
    }
  }

  #readError(call: OutgoingCall): LibvirtError {
    const fields = d_virNetMessageError(this.#reader)
    return new LibvirtError(call.name, { ...fields, message: fields.message ?? 'libvirt gave no reason' })
  }
}
