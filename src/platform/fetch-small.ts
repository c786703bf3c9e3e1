import { AgentError } from '../core/errors.ts'
import type { ByteSink } from './direct-socket.ts'
import { openDownload, type FetchOptions } from './http-fetch.ts'

/** The whole body of a small document; DOWNLOAD_HTTP_STATUS when it is larger than `maxBytes`, else the errors of openDownload and OpenDownload.receive. */
export async function fetchSmall(url: string, maxBytes: number, options: FetchOptions): Promise<Buffer> {
  const stop = new AbortController()
  const signal = AbortSignal.any([options.signal, stop.signal])
  const download = await openDownload(url, { ...options, signal })
  const tooLarge = () => new AgentError('DOWNLOAD_HTTP_STATUS', `${download.finalUrl} is larger than ${maxBytes} bytes`)
  if ((download.contentLength ?? 0) > maxBytes) {
    download.close()
    throw tooLarge()
  }
  const sink = new BufferSink(maxBytes, () => stop.abort(tooLarge()))
  await download.receive(sink, signal)
  return sink.bytes()
}

class BufferSink implements ByteSink {
  onSpace: (() => void) | undefined
  readonly #memory: Uint8Array
  readonly #onOverflow: () => void
  #filled = 0

  constructor(maxBytes: number, onOverflow: () => void) {
    this.#memory = new Uint8Array(maxBytes + 1)
    this.#onOverflow = onOverflow
  }

  space(): Uint8Array | undefined {
    return this.#filled < this.#memory.length ? this.#memory.subarray(this.#filled) : undefined
  }

  advance(bytes: number): void {
    this.#filled += bytes
    if (this.#filled >= this.#memory.length) this.#onOverflow()
  }

  write(chunk: Uint8Array): boolean {
    const part = chunk.subarray(0, this.#memory.length - this.#filled)
    this.#memory.set(part, this.#filled)
    this.advance(part.length)
    return part.length === chunk.length
  }

  bytes(): Buffer {
    return Buffer.from(this.#memory.subarray(0, this.#filled))
  }
}
