import type { OnReadOpts, Socket } from 'node:net'
import type { ByteMemory } from './byte-stream.ts'

/** Where received bytes go: into its memory, or as they come. */
export interface ByteSink extends ByteMemory {
  /** Takes a copy of `chunk` whatever its size; false asks to pause until `onSpace` is called. */
  write(chunk: Uint8Array): boolean
}

/**
 * The read side of a plain TCP socket that an HTTP parser and then a sink share. The parser reads everything (status line, headers, the first of the body) as from any socket until
 * `divert`; from then on bytes land in the sink's memory, without an allocation, a copy or an event per 64 KiB. Only for bodies of known length.
 */
export class DirectSocket {
  readonly onread: OnReadOpts
  readonly #scratch = new Uint8Array(64 * 1024)
  #socket: Socket | undefined
  #target: { sink: ByteSink; ready: () => boolean; onBytes: (count: number) => number } | undefined
  #direct = false
  #stopped = false
  #current: Uint8Array = this.#scratch

  constructor() {
    const self = this
    this.onread = {
      buffer: () => self.#nextBuffer(),
      callback(count) {
        self.#socket = this as unknown as Socket
        return self.#onRead(self.#socket, count)
      },
    }
  }

  /**
   * Sends what arrives from now on to `sink`, as soon as the parser has taken everything before it: `ready` tells that the parser is not paused. `onBytes` is told of arriving bytes and
   * answers how many of them belong to the body.
   */
  divert(sink: ByteSink, ready: () => boolean, onBytes: (count: number) => number): void {
    this.#target = { sink, ready, onBytes }
  }

  /** Gives nothing more to the sink. */
  stop(): void {
    this.#stopped = true
    this.#target = undefined
  }

  /** Reads on after the sink was full. */
  resume(): void {
    if (this.#direct) this.#socket?.read(0)
  }

  #nextBuffer(): Uint8Array {
    this.#current = (this.#direct ? this.#target?.sink.space() : undefined) ?? this.#scratch
    return this.#current
  }

  #onRead(socket: Socket, count: number): boolean {
    const target = this.#target
    // Order is kept because the parser has nothing left: every earlier byte has gone through it.
    if (target !== undefined && !this.#direct && socket.readableLength === 0 && target.ready()) this.#direct = true
    if (this.#stopped) return false
    if (target === undefined || !this.#direct) return socket.push(Buffer.from(this.#current.subarray(0, count)))
    const wanted = target.onBytes(count)
    if (this.#current !== this.#scratch) target.sink.advance(wanted)
    else target.sink.write(this.#current.subarray(0, wanted))
    return target.sink.space() !== undefined
  }
}
