import { rm } from 'node:fs/promises'
import path from 'node:path'
import { AgentError, isAgentError, toAgentError } from '../core/errors.ts'
import { firstFailure } from '../core/first-failure.ts'
import { abortable } from '../core/keyed-lock.ts'
import type { OpenDownload } from '../platform/http-fetch.ts'
import { acceptHead } from './accept-head.ts'
import { DurableWriter } from './durable-writer.ts'
import type { ImageSource } from './image-source.ts'
import { keepSpace } from './keep-space.ts'
import { PacedSink, type TokenBucket } from './paced-sink.ts'
import { ReadAhead, type ReceiveEnd } from './read-ahead/read-ahead.ts'
import { StallClock } from './stall-clock.ts'
import { checkDigest, type Checksum, type DigestAlgorithm, type Digests } from './verify.ts'

/** What the worker tells while bytes flow, at least twice a second as long as it is alive. */
export interface TransferEvent {
  readonly bytesReceived: number
  readonly bytesDurable: number
}

export interface TransferRequest {
  /** The file: new, or with the bytes before `first.from`. */
  readonly file: string
  /** Digests of the whole that are known from elsewhere. */
  readonly expected: readonly Checksum[]
  readonly algorithms: readonly DigestAlgorithm[]
  readonly stallTimeoutMs: number
  readonly signal: AbortSignal
  /** Paces what arrives. */
  readonly bucket: TokenBucket
  readonly onEvent: (event: TransferEvent) => void
  /** Told of the first bytes, once they were found to be those of an image or a wrapper. */
  readonly onHead: (head: Buffer) => void
  /** Told of what can be read from the file: bytes from the first one on; `direct`: past the page cache. */
  readonly onWritten: (bytes: number, direct: boolean) => void
  /** Told of what survives a crash: bytes from the first one on. */
  readonly onDurable: (bytes: number) => void
  /** Awaited before what was durable is given up. */
  readonly onBeginAgain: () => Promise<void>
}

const TICK_MS = 250

/**
 * Takes the content of `source` into the file, beginning with the connection `first`: received, hashed and written at the same time, over as many connections as it takes; durable when it resolves. The caller
 * removes the file on failure. Errors: those of ImageSource, IMAGE_NOT_AN_IMAGE and IMAGE_REFUSED (from the first MiB), CHECKSUM_MISMATCH, DOWNLOAD_STALLED, POOL_FULL, POOL_NOT_WRITABLE, POOL_IO_ERROR.
 */
export async function transferImage(
  source: ImageSource,
  first: OpenDownload,
  request: TransferRequest,
): Promise<{ bytes: number; digests: Digests }> {
  return new Transfer(source, request).run(first)
}

class Transfer {
  readonly #source: ImageSource
  readonly #request: TransferRequest
  readonly #clock: StallClock
  readonly #first = firstFailure()
  readonly #stop = new AbortController()
  readonly #signal: AbortSignal
  #writer: DurableWriter | undefined
  #waitingFor: 'server' | 'disk' | 'nothing' = 'nothing'
  /** Ends the present connection alone, or all of them. */
  #connection = new AbortController()
  /** Set while several connections bring the content. */
  #readAhead: ReadAhead | undefined
  /** What was told of this file: what had to wait in memory may have to be fetched again. */
  #told = 0

  constructor(source: ImageSource, request: TransferRequest) {
    this.#source = source
    this.#request = request
    this.#clock = new StallClock(request.stallTimeoutMs)
    this.#signal = AbortSignal.any([request.signal, this.#stop.signal])
  }

  async run(first: OpenDownload): Promise<{ bytes: number; digests: Digests }> {
    const timer = setInterval(() => this.#tick(), TICK_MS)
    const work = this.#work(first)
    try {
      return await abortable(Promise.race([work, this.#first.failure]), this.#request.signal)
    } finally {
      clearInterval(timer)
      this.#stop.abort(new AgentError('CANCELLED', 'the transfer has ended'))
      await Promise.allSettled([work])
      await this.#dropWriter()
    }
  }

  async #work(first: OpenDownload): Promise<{ bytes: number; digests: Digests }> {
    let download = first
    for (;;) {
      await this.#prepareWriter(download)
      const end = await this.#receive(download)
      if (end === 'whole') {
        const whole = await this.#finish()
        if (whole !== undefined) return whole
      }
      const writer = this.#writer
      this.#source.reached(writer?.bytesAccepted ?? 0)
      if (typeof end !== 'string') await this.#source.recover(end, this.#signal)
      download = await this.#source.open(writer?.bytesAccepted ?? 0, this.#signal)
    }
  }

  async #prepareWriter({ from }: OpenDownload): Promise<void> {
    const { file, algorithms, onWritten, onDurable, onBeginAgain } = this.#request
    if (this.#writer !== undefined) {
      if (from > 0 && this.#writer.bytesAccepted === from) return
      await this.#dropWriter()
    }
    if (from === 0) {
      await onBeginAgain()
      await rm(file, { force: true })
    }
    const onHead = (head: Buffer) => {
      const content = this.#source.content
      acceptHead(head, content?.totalLength, content?.finalUrl ?? '')
      this.#request.onHead(head)
    }
    // What an abandoned file still syncs is no part of the content that has begun meanwhile.
    const { beginnings } = this.#source
    const onSynced = (bytes: number) => {
      if (this.#source.beginnings === beginnings) onDurable(bytes)
    }
    this.#told = from
    this.#writer = await DurableWriter.open(file, { algorithms, onHead, from, onWritten, onDurable: onSynced })
    this.#writer.failure.catch(this.#first.fail)
  }

  async #dropWriter(): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    await writer?.close()
  }

  async #receive(download: OpenDownload): Promise<ReceiveEnd> {
    const writer = this.#writer
    if (writer === undefined) throw new AgentError('INTERNAL', 'a connection without a file to write to')
    this.#connection = new AbortController()
    const signal = AbortSignal.any([this.#signal, this.#connection.signal])
    this.#waitingFor = 'server'
    try {
      const isSegment = download.isPart && this.#source.connections > 1
      return isSegment
        ? await this.#receiveSegments(download, writer, signal)
        : await this.#receiveStream(download, writer, signal)
    } finally {
      this.#waitingFor = 'nothing'
    }
  }

  async #receiveSegments(first: OpenDownload, writer: DurableWriter, signal: AbortSignal): Promise<ReceiveEnd> {
    this.#readAhead = new ReadAhead(this.#source, first, writer, this.#request.bucket)
    try {
      return await this.#readAhead.run(signal)
    } catch (error) {
      this.#signal.throwIfAborted()
      // What the clock found is a fault of the server; all others were seen to.
      if (this.#connection.signal.aborted) return toAgentError(this.#connection.signal.reason)
      throw error
    } finally {
      this.#readAhead = undefined
    }
  }

  async #receiveStream(download: OpenDownload, writer: DurableWriter, signal: AbortSignal): Promise<ReceiveEnd> {
    let fault: AgentError | undefined
    try {
      await download.receive(new PacedSink(writer, this.#request.bucket), signal)
    } catch (error) {
      this.#signal.throwIfAborted()
      fault = toAgentError(error)
    }
    const total = this.#source.content?.totalLength
    if (total === undefined) return fault ?? 'whole'
    if (writer.bytesAccepted === total) return 'whole'
    if (writer.bytesAccepted > total) {
      throw new AgentError('DOWNLOAD_CHANGED', `${download.finalUrl} sent more than the ${total} bytes it announced`)
    }
    const text = `${download.finalUrl} ended after ${writer.bytesAccepted} of ${total} bytes`
    // A part that is shorter than asked for is a beginning.
    return fault ?? new AgentError('DOWNLOAD_TRUNCATED', text)
  }

  // Undefined when the whole is not what it should be, but may be at another attempt.
  async #finish(): Promise<{ bytes: number; digests: Digests } | undefined> {
    const { expected } = this.#request
    this.#waitingFor = 'disk'
    const whole = await this.#writer?.finish(this.#signal)
    this.#tick()
    this.#waitingFor = 'nothing'
    if (whole === undefined) return undefined
    try {
      for (const each of expected) checkDigest(whole.digests, each, this.#source.content?.finalUrl ?? '')
      return whole
    } catch (error) {
      if (!isAgentError(error)) throw error
      this.#source.distrust(error)
      await this.#dropWriter()
      return undefined
    }
  }

  #tick(): void {
    const writer = this.#writer
    const bytesReceived = (writer?.bytesAccepted ?? 0) + (this.#readAhead?.bytesHeld ?? 0)
    const counters = { bytesReceived, bytesDurable: writer?.bytesDurable ?? 0 }
    this.#told = Math.max(this.#told, bytesReceived)
    this.#request.onEvent({ ...counters, bytesReceived: this.#told })
    const isResting = this.#waitingFor === 'nothing' || this.#readAhead?.isResting === true
    if (writer === undefined || isResting) this.#clock.rest()
    else this.#check(counters, this.#waitingFor === 'server' && !writer.full)
    if (this.#source.content?.totalLength === undefined)
      keepSpace(path.dirname(this.#request.file), 'the server does not say how much is still to come').catch(
        this.#first.fail,
      )
  }

  #check(counters: { bytesReceived: number; bytesDurable: number }, receiving: boolean): void {
    try {
      this.#clock.check(counters, receiving)
    } catch (error) {
      // Another connection may do better, another disk is not at hand.
      if (!receiving) this.#first.fail(toAgentError(error))
      else if (this.#readAhead?.endSilent(toAgentError(error)) === true) this.#clock.rest()
      else this.#connection.abort(error)
    }
  }
}
