import { AgentError, isAgentError, toAgentError } from '../../core/errors.ts'
import { abortable } from '../../core/keyed-lock.ts'
import type { ByteSink } from '../../platform/direct-socket.ts'
import { FetchConnection } from '../../platform/fetch-connection.ts'
import type { OpenDownload } from '../../platform/http-fetch.ts'
import { SEGMENT_BYTES, type ImageSource } from '../image-source.ts'
import { PacedSink, type TokenBucket } from '../paced-sink.ts'
import { isTransient } from '../retries.ts'
import type { SourceContent } from '../source-content.ts'
import { Segment } from './segment.ts'

/** How a round of receiving ended: all is here; or the source was recovered from a fault and is to be opened again; or with a fault that it has not been recovered from. */
export type ReceiveEnd = 'whole' | 'recovered' | AgentError

/** Where the bytes go, in order. */
export interface OrderedSink extends ByteSink {
  /** Bytes of the content taken in so far. */
  readonly bytesAccepted: number
}

/** Segments in memory for each connection: one that is filled, and one that waits for those before it. */
const SEGMENTS_PER_CONNECTION = 2
/** Attempts in a row without a byte, while others are served, before a connection is given up. */
const MAX_MISSES = 4
const TOO_MANY: readonly string[] = ['429', '503']

interface Lane {
  readonly connection: FetchConnection
  /** What it is at work on; undefined while there is nothing to do. */
  segment: Segment | undefined
  /** Ends the present attempt alone. */
  stop: AbortController
  /** The answer that is open when the round begins. */
  first: OpenDownload | undefined
  /** It has brought bytes. */
  isServed: boolean
  /** Failed attempts since the last byte. */
  misses: number
}

/**
 * Brings the rest of the content over several connections to one server, as one stream in order: each fetches the next segment that nobody fetches, into memory that is bounded; whoever waits for
 * the disk, or for a slower connection in front, stops. Only what is in order leaves it, so that nothing behind it knows of segments. One round: it ends at the first fault that one connection has
 * to look into.
 */
export class ReadAhead {
  readonly #source: ImageSource
  readonly #content: SourceContent
  readonly #sink: OrderedSink
  readonly #bucket: TokenBucket
  readonly #total: number
  readonly #startedAt: number
  #most = 0
  readonly #lanes = new Set<Lane>()
  /** In order; the first one is being taken out. */
  readonly #window: Segment[] = []
  readonly #spare: Uint8Array[] = []
  readonly #works = new Set<Promise<void>>()
  readonly #end = Promise.withResolvers<ReceiveEnd>()
  readonly #stop = new AbortController()
  #signal: AbortSignal = this.#stop.signal
  #isOver = false
  #next: number
  #rest: Promise<void> | undefined

  /** `first` is what `source.open` gave for where `sink` is; `bucket` paces all connections together. */
  constructor(source: ImageSource, first: OpenDownload, sink: OrderedSink, bucket: TokenBucket) {
    if (source.content === undefined) throw new AgentError('INTERNAL', 'parts of unknown content')
    this.#source = source
    this.#content = source.content
    this.#sink = sink
    this.#bucket = bucket
    this.#total = source.content.totalLength ?? 0
    this.#startedAt = this.#next = sink.bytesAccepted
    const lanes = Math.max(1, source.connections)
    for (let index = 0; index < lanes; index++) this.#addLane(index === 0 ? first : undefined)
  }

  /** Bytes that are here, and wait for those before them or for the sink. */
  get bytesHeld(): number {
    return this.#window.reduce((sum, segment) => sum + segment.held, 0)
  }

  /** It waits on purpose before it asks again. */
  get isResting(): boolean {
    return this.#rest !== undefined
  }

  /** Nothing arrived for too long (`fault`): when some connections wait for others, these are ended, and what they brought stays. False when all of them are silent. */
  endSilent(fault: AgentError): boolean {
    const silent = [...this.#lanes].filter(({ segment }) => segment !== undefined)
    if (silent.length === 0 || silent.length === this.#lanes.size) return false
    for (const { stop } of silent) stop.abort(fault)
    return true
  }

  /** Receives until the round ends; no connection is left. Rejects when nothing is to be tried again, and with the signal's reason. */
  async run(signal: AbortSignal): Promise<ReceiveEnd> {
    this.#signal = AbortSignal.any([signal, this.#stop.signal])
    this.#sink.onSpace = () => this.#drain()
    try {
      this.#assign()
      return await abortable(this.#end.promise, signal)
    } finally {
      this.#isOver = true
      this.#sink.onSpace = undefined
      this.#stop.abort(new AgentError('CANCELLED', 'the round of receiving has ended'))
      for (const { connection } of this.#lanes) connection.close()
      await Promise.allSettled(this.#works)
    }
  }

  #addLane(first?: OpenDownload): Lane {
    const connection = first?.connection ?? new FetchConnection()
    const stop = new AbortController()
    const lane: Lane = { connection, segment: undefined, stop, first, isServed: first !== undefined, misses: 0 }
    this.#lanes.add(lane)
    this.#most = Math.max(this.#most, this.#lanes.size * SEGMENTS_PER_CONNECTION)
    return lane
  }

  #assign(): void {
    while (!this.#isOver) {
      const idle = [...this.#lanes].find((each) => each.segment === undefined)
      // What was refused may be served by now.
      if (idle === undefined && this.#lanes.size >= this.#source.raise(this.#content.source)) return
      const segment = this.#nextSegment()
      if (segment === undefined) return
      const lane = idle ?? this.#addLane()
      lane.segment = segment
      const work = this.#fetch(lane, segment)
      this.#works.add(work)
      work.catch(this.#end.reject).finally(() => this.#works.delete(work))
    }
  }

  #nextSegment(): Segment | undefined {
    const busy = new Set([...this.#lanes].map(({ segment }) => segment))
    const left = this.#window.find((segment) => !segment.isFull && !busy.has(segment))
    if (left !== undefined) return left
    if (this.#window.length >= this.#most || this.#next >= this.#total) return undefined
    const place = { start: this.#next, length: Math.min(SEGMENT_BYTES, this.#total - this.#next) }
    this.#next += place.length
    const overrun = () =>
      this.#refuse(new AgentError('DOWNLOAD_RANGE', 'the server sent more than the part that was asked for'))
    const on = { bytes: () => this.#arrived(segment), overrun }
    const segment: Segment = new Segment(place, this.#spare.pop() ?? new Uint8Array(SEGMENT_BYTES), on)
    this.#window.push(segment)
    return segment
  }

  // Fills the segment, over as many attempts as it takes, and is ready for another one; or gives the connection up.
  async #fetch(lane: Lane, segment: Segment): Promise<void> {
    while (!segment.isFull) {
      const fault = await this.#attempt(lane, segment)
      if (this.#signal.aborted || this.#isOver) return
      if (fault === undefined) continue
      lane.connection.close()
      if (segment.isFull) break
      lane.misses++
      if (this.#isExcess(lane, fault)) {
        this.#lanes.delete(lane)
        this.#source.limit(this.#content.source, this.#lanes.size, fault)
        this.#assign()
        return
      }
      if (fault.reason === 'DOWNLOAD_RANGE' || !isTransient(fault)) {
        this.#refuse(fault)
        return
      }
      await (this.#rest ??= this.#recover(fault).finally(() => (this.#rest = undefined)))
      if (this.#isOver) return
    }
    lane.segment = undefined
    this.#source.serves(this.#content.source, [...this.#lanes].filter(isServedNow).length)
    this.#assign()
  }

  // The fault that ended an attempt; what came before it counts.
  async #attempt(lane: Lane, segment: Segment): Promise<AgentError | undefined> {
    const { from, to } = segment.missing
    lane.stop = new AbortController()
    const signal = AbortSignal.any([this.#signal, lane.stop.signal])
    try {
      const { first } = lane
      lane.first = undefined
      const part = first ?? (await this.#source.openSegment(from, to, lane.connection, signal))
      await part.receive(new PacedSink(segment, this.#bucket), signal)
      if (segment.missing.from > from) return undefined
      return new AgentError('DOWNLOAD_TRUNCATED', `${part.finalUrl} ended before the first byte of a part`)
    } catch (error) {
      return toAgentError(error)
    }
  }

  // Servers limit the connections of a client in their own ways: what tells is that others go on meanwhile, or wait for this one.
  #isExcess(lane: Lane, fault: AgentError): boolean {
    const served = [...this.#lanes].filter((other) => other !== lane && isServedNow(other))
    const holdsUp = fault.reason === 'DOWNLOAD_STALLED' && served.some(({ segment }) => segment === undefined)
    const isTold = isAgentError(fault, 'DOWNLOAD_HTTP_STATUS') && TOO_MANY.includes(fault.details['status'] ?? '')
    return served.length > 0 && (isTold || holdsUp || lane.misses >= MAX_MISSES)
  }

  // One back-off for all: connections to one server that fail together fail for one reason.
  async #recover(fault: AgentError): Promise<void> {
    this.#source.reached(this.#sink.bytesAccepted)
    if (await this.#source.recover(fault, this.#signal)) this.#finish('recovered')
  }

  // A part that was refused says nothing final of the source: one connection asks again, and what it meets counts.
  #refuse(fault: AgentError): void {
    const isFutile = this.#sink.bytesAccepted - this.#startedAt < SEGMENT_BYTES
    const isFinal = fault.reason === 'DOWNLOAD_RANGE' || (isFutile && !this.#source.hasExpired(this.#content, fault))
    if (isFinal) this.#source.narrow(this.#content.source, fault.message)
    this.#finish(new AgentError('DOWNLOAD_TRUNCATED', `a part was refused: ${fault.message}`, { cause: fault }))
  }

  #finish(end: ReceiveEnd): void {
    this.#isOver = true
    this.#end.resolve(end)
  }

  #arrived(segment: Segment): void {
    for (const lane of this.#lanes) {
      if (lane.segment !== segment) continue
      lane.isServed = true
      lane.misses = 0
    }
    this.#drain()
  }

  #drain(): void {
    for (;;) {
      const [head] = this.#window
      if (head === undefined) break
      while (head.held > 0) {
        const space = this.#sink.space()
        if (space === undefined) return
        this.#sink.advance(head.take(space))
      }
      if (!head.isTaken) return
      this.#window.shift()
      this.#spare.push(head.memory)
      this.#assign()
    }
    if (this.#next >= this.#total) this.#finish('whole')
  }
}

function isServedNow({ isServed, misses }: Lane): boolean {
  return isServed && misses === 0
}
