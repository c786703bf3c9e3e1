import { errorText } from '../core/errors.ts'
import type { Connection, StreamSink } from './connection.ts'
import { LibvirtTimeout } from './errors.ts'
import { VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX } from './wire/constants.gen.ts'

const PAUSE_AT_BYTES = 4 * 1024 * 1024
/** What a piece takes beside its bytes: consoles send a few at a time. */
const OBJECT_BYTES = 256
const ABORT_TIMEOUT_MS = 5_000

/** A run of zeros that was not sent byte by byte. */
export interface StreamHole {
  readonly holeBytes: number
}

/** One piece of a stream. */
export type StreamItem = Uint8Array | StreamHole

/** True for a hole. */
export function isHole(item: StreamItem): item is StreamHole {
  return !(item instanceof Uint8Array)
}

/** Limits of one stream. */
export interface StreamLimits {
  /** Ends the stream when nothing moved for so long while we waited; undefined waits for ever (a console). */
  readonly idleTimeoutMs: number | undefined
  readonly signal: AbortSignal | undefined
}

/**
 * One stream on a connection of its own, in either direction or both. Reading holds the socket back when the reader is slow. It ends by `finish`,
 * by the end of the data, by an error, by its signal, or by `abort`; each of them closes the connection.
 */
export class LibvirtStream implements StreamSink {
  readonly #name: string
  readonly #limits: StreamLimits
  readonly #items: StreamItem[] = []
  #buffered = 0
  #paused = false
  #ended = false
  #confirmed = false
  #refused = false
  #error: Error | undefined
  #wake: (() => void) | undefined
  #connection: Connection | undefined
  #serial = 0

  constructor(name: string, limits: StreamLimits) {
    this.#name = name
    this.#limits = limits
    limits.signal?.addEventListener('abort', this.#onAbort, { once: true })
  }

  /** Ends a stream whose call failed. */
  discard(why: Error): void {
    this.#error ??= why
    this.#close(why)
  }

  /** Binds the stream to its connection, right after the call was sent. */
  bind(connection: Connection, serial: number): void {
    this.#connection = connection
    this.#serial = serial
  }

  /** The next piece, or undefined at the end of the data. Throws what ended the stream. */
  async read(): Promise<StreamItem | undefined> {
    while (this.#items.length === 0 && !this.#ended) {
      this.#throwIfBroken()
      await this.#change()
    }
    const item = this.#items.shift()
    if (item !== undefined) {
      this.#buffered -= sizeInMemory(item)
      if (this.#paused && this.#buffered < PAUSE_AT_BYTES / 2) {
        this.#paused = false
        this.#connection?.resume()
      }
      return item
    }
    this.#throwIfBroken()
    return undefined
  }

  /** All pieces to the end; leaving the loop early aborts the stream. */
  async *[Symbol.asyncIterator](): AsyncGenerator<StreamItem, void, undefined> {
    try {
      for (let item = await this.read(); item !== undefined; item = await this.read()) yield item
      await this.finish()
    } finally {
      await this.abort()
    }
  }

  /** Sends data and waits until the socket takes more. The bytes are copied. Throws the daemon's error if it has refused the stream by now. */
  async write(data: Uint8Array): Promise<void> {
    for (let at = 0; at < data.length; at += VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX) {
      this.#throwIfBroken()
      const packet = data.subarray(at, at + VIR_NET_MESSAGE_LEGACY_PAYLOAD_MAX)
      await this.#whileIdleAllowed(this.#bound().sendStreamData(this.#serial, packet))
    }
    this.#throwIfBroken()
  }

  /** Leaves out `holeBytes` bytes: only when the call asked for a sparse stream, otherwise libvirtd drops the connection. */
  async writeHole(holeBytes: number): Promise<void> {
    this.#throwIfBroken()
    await this.#whileIdleAllowed(this.#bound().sendStreamHole(this.#serial, BigInt(holeBytes)))
    this.#throwIfBroken()
  }

  /** Ends the stream well and waits for libvirt's confirmation: an upload's late errors, such as a full disk, come here. */
  async finish(): Promise<void> {
    this.#throwIfBroken()
    if (!this.#confirmed) {
      if (!this.#ended) this.#bound().endStream(this.#serial, 'finish')
      while (!this.#confirmed) {
        this.#throwIfBroken()
        await this.#change()
      }
    }
    this.#close(new Error('the stream has ended'))
  }

  /** Ends the stream badly: libvirt stops the transfer. Never throws; nothing happens after the end. */
  async abort(): Promise<void> {
    const connection = this.#connection
    if (connection === undefined || connection.closed) return
    this.#items.length = 0
    connection.resume()
    if (!this.#confirmed && this.#error === undefined) {
      this.#error = new Error(`${this.#name}: the stream was aborted`)
      connection.endStream(this.#serial, 'abort')
      this.#notify()
      const deadline = Promise.withResolvers<void>()
      const timer = setTimeout(deadline.resolve, ABORT_TIMEOUT_MS)
      while (!this.#confirmed && !connection.closed && !this.#refused) {
        const changed = Promise.withResolvers<'changed'>()
        this.#wake = () => changed.resolve('changed')
        if ((await Promise.race([changed.promise, deadline.promise])) !== 'changed') break
      }
      clearTimeout(timer)
    }
    this.#close(new Error('the stream was aborted'))
  }

  onData(data: Buffer): void {
    if (data.length === 0) {
      this.#ended = true
      this.#bound().endStream(this.#serial, 'finish')
    } else this.#push(data)
    this.#notify()
  }

  onHole(lengthBytes: bigint): void {
    this.#push({ holeBytes: Number(lengthBytes) })
    this.#notify()
  }

  onFinish(): void {
    this.#ended = true
    this.#confirmed = true
    this.#notify()
  }

  onError(error: Error): void {
    this.#refused = true
    this.#error ??= error
    this.#notify()
  }

  #push(item: StreamItem): void {
    // After an abort the daemon's last packets are of no use.
    if (this.#error !== undefined) return
    this.#items.push(item)
    this.#buffered += sizeInMemory(item)
    if (!this.#paused && this.#buffered >= PAUSE_AT_BYTES) {
      this.#paused = true
      this.#connection?.pause()
    }
  }

  #bound(): Connection {
    if (this.#connection === undefined) throw new Error(`${this.#name}: the stream is not open`)
    return this.#connection
  }

  #throwIfBroken(): void {
    if (this.#error === undefined) return
    this.#close(this.#error)
    throw this.#error
  }

  #notify(): void {
    const wake = this.#wake
    this.#wake = undefined
    wake?.()
  }

  /** Waits for the next packet or the end. */
  async #change(): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#wake = resolve
    await this.#whileIdleAllowed(promise)
  }

  async #whileIdleAllowed(work: Promise<void>): Promise<void> {
    const { idleTimeoutMs } = this.#limits
    if (idleTimeoutMs === undefined) return work
    const timer = setTimeout(() => {
      this.#error ??= new LibvirtTimeout(this.#name, idleTimeoutMs, true)
      this.#close(this.#error)
      this.#notify()
    }, idleTimeoutMs)
    try {
      await work
    } finally {
      clearTimeout(timer)
    }
  }

  readonly #onAbort = (): void => {
    const reason: unknown = this.#limits.signal?.reason
    const error =
      reason instanceof Error ? reason : new Error(`${this.#name}: the stream was cancelled`, { cause: reason })
    const connection = this.#connection
    if (this.#error !== undefined || connection === undefined || connection.closed) return
    this.abort().catch(() => {
      // abort() only waits; closing the connection is all that is left to do.
      this.#close(error)
    })
    this.#error = error
    this.#notify()
  }

  #close(why: Error): void {
    this.#limits.signal?.removeEventListener('abort', this.#onAbort)
    if (this.#connection !== undefined && !this.#connection.closed)
      this.#connection.close(new Error(`stream ended: ${errorText(why)}`))
  }
}

function sizeInMemory(item: StreamItem): number {
  return OBJECT_BYTES + (isHole(item) ? 0 : item.length)
}
