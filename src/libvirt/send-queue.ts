import type { Socket } from 'node:net'
import { VIR_NET_MESSAGE_LEN_MAX, VIR_NET_MESSAGE_MAX } from './wire/constants.gen.ts'
import { XdrWriter } from './xdr-writer.ts'

const INITIAL_BYTES = 8 * 1024
const KEEP_BYTES = 256 * 1024
const SPARES = 2

/** The fixed part of every message. */
export interface Header {
  readonly program: number
  readonly version: number
  readonly procedure: number
  readonly type: number
  readonly serial: number
  readonly status: number
}

/** Gathers all messages of one turn of the event loop into one write, in buffers that are used again once the kernel has taken them. */
export class SendQueue {
  readonly #socket: Socket
  readonly #spares: XdrWriter[] = []
  #writer = newWriter()
  #scheduled = false

  constructor(socket: Socket) {
    this.#socket = socket
  }

  /** Appends one message; when `encode` throws, nothing of it is sent. */
  push(header: Header, encode?: (writer: XdrWriter) => void): void {
    const w = this.#writer
    const start = w.position
    try {
      w.uint(0)
      w.uint(header.program)
      w.uint(header.version)
      w.int(header.procedure)
      w.int(header.type)
      w.uint(header.serial)
      w.int(header.status)
      encode?.(w)
      const length = w.position - start
      if (length > VIR_NET_MESSAGE_LEN_MAX + VIR_NET_MESSAGE_MAX)
        throw new RangeError(`a message of ${length} bytes is too long for libvirt`)
      w.patchUint(start, length)
    } catch (error) {
      w.position = start
      throw error
    }
    if (!this.#scheduled) {
      this.#scheduled = true
      // A tick runs after the promise callbacks of the current batch of replies, so that their next calls share the write.
      process.nextTick(this.#flush)
    }
  }

  /** Appends one message and waits until the socket takes more: for bulk data. */
  async pushAndDrain(header: Header, encode?: (writer: XdrWriter) => void): Promise<void> {
    this.push(header, encode)
    this.#flush()
    if (!this.#socket.writableNeedDrain) return
    const { promise, resolve } = Promise.withResolvers<void>()
    const done = () => {
      this.#socket.off('drain', done)
      this.#socket.off('close', done)
      resolve()
    }
    this.#socket.on('drain', done)
    this.#socket.on('close', done)
    await promise
  }

  readonly #flush = (): void => {
    this.#scheduled = false
    const writer = this.#writer
    if (writer.position === 0 || this.#socket.destroyed) return
    this.#writer = this.#spares.pop() ?? newWriter()
    this.#socket.write(writer.written(), () => {
      writer.position = 0
      if (this.#spares.length < SPARES && writer.capacity <= KEEP_BYTES) this.#spares.push(writer)
    })
  }
}

// Room for a few small messages before the limit of one: push() checks each message itself.
const newWriter = () => new XdrWriter(INITIAL_BYTES, 2 * VIR_NET_MESSAGE_MAX)
