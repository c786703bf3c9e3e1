import { AgentError, errorText, isAgentError, toAgentError } from '../core/errors.ts'
import { delay } from '../platform/clock.ts'
import type { FetchConnection } from '../platform/fetch-connection.ts'
import { ifRangeOf, type RangeRequest } from '../platform/http-answer.ts'
import { openDownload, type FetchOptions, type OpenDownload } from '../platform/http-fetch.ts'
import { ConnectionLimits } from './read-ahead/connection-limits.ts'
import { isTransient, Retries } from './retries.ts'
import { agrees, type Agreement, type SourceContent } from './source-content.ts'

/** Where the bytes of an image come from. */
export interface SourceOrder {
  /** The URL of the request and its mirrors, in order of preference; all have the same content. */
  readonly urls: readonly string[]
  /** The digest of the whole is known: parts without a validator may be joined, for the end proves them. */
  readonly proven: boolean
  readonly patienceMs: number
  /** How many connections to one server bring it at the same time, where the server can do that. */
  readonly connections: number
  readonly fetch: Omit<FetchOptions, 'signal' | 'range'>
}

/** Tells what happened on the way, for the log of the job. */
export type SourceNotice = (text: string, facts?: Readonly<Record<string, string | number>>) => void

/** Bytes of one request when several connections bring them. */
export const SEGMENT_BYTES = 4 * 1024 * 1024
/** How often everything is fetched anew from servers that send no parts. */
const MAX_WHOLE_AGAIN = 3
/** Failures of the server that redirects led to before the URL itself is asked again. */
const MAX_STRAYS = 3

/**
 * The content of an image over any number of connections, servers and agents: each `open` asks for the bytes that are missing, and makes sure that they are of the same content as
 * those before. Where that cannot be made sure it begins at 0 again: never a mixture.
 */
export class ImageSource {
  readonly #order: SourceOrder
  readonly #notice: SourceNotice
  readonly #retries: Retries
  #content: SourceContent | undefined
  #current: number
  #strays = 0
  readonly #partsRefused = new Set<number>()
  readonly #limits: ConnectionLimits
  /** Where redirects led to when a part was refused there, and a new link was hoped for. */
  #expired: string | undefined
  #beginnings = 0
  #changes = 0
  #wholeAgain = 0
  /** What ended the last connection. */
  #fault: AgentError | undefined
  #joined = false
  #distrusted = false

  /** `content` is that of the bytes an earlier run has made durable. `limits` is for tests. */
  constructor(
    order: SourceOrder,
    notice: SourceNotice,
    content?: SourceContent,
    limits = new ConnectionLimits(order.connections),
  ) {
    this.#order = order
    this.#limits = limits
    this.#notice = notice
    this.#content = content
    this.#current = content?.source ?? 0
    this.#retries = new Retries({ patienceMs: order.patienceMs, sources: order.urls.length }, this.#current)
  }

  /** Known after the first `open`. */
  get content(): SourceContent | undefined {
    return this.#content
  }

  /** How often the content began at its first byte: bytes of a beginning before are void. */
  get beginnings(): number {
    return this.#beginnings
  }

  /** How many connections the present source is asked over. With more than one, `open` asks for a segment only. */
  get connections(): number {
    return this.#partsRefused.has(this.#current) ? 1 : this.#limits.of(this.#current)
  }

  /** The source with the index `source` serves no more than `connections` now. */
  limit(source: number, connections: number, fault: AgentError): void {
    if (this.#limits.refuse(source, connections, fault))
      this.#notice('the server does not serve all connections; going on with fewer', {
        connections,
        err: fault.message,
      })
  }

  /** How many connections may be used for the source with the index `source`, with one more than before when it is time to try one. */
  raise(source: number): number {
    return this.#limits.raise(source)
  }

  /** The source with the index `source` serves `connections`. */
  serves(source: number, connections: number): void {
    if (this.#limits.serve(source, connections))
      this.#notice('the server serves more connections again', { connections })
  }

  /** Whether the refusal of a part may be that of a link which has expired, so that `open` gets a new one. A place that redirects led to is given that once: it may refuse further connections. */
  hasExpired({ source, location }: SourceContent, { reason }: AgentError): boolean {
    const isLink = location !== this.#order.urls[source] && location !== this.#expired
    if (reason !== 'DOWNLOAD_HTTP_STATUS' || !isLink) return false
    this.#expired = location
    return true
  }

  /** From now on one connection is used for the source with the index `source`. */
  narrow(source: number, why: string): void {
    this.#limits.narrow(source)
    this.#notice(`going on with one connection: ${why}`, { url: this.#content?.finalUrl ?? '' })
  }

  /** Notes how many bytes of the content are here. */
  reached(bytes: number): void {
    this.#retries.reached(bytes)
  }

  /**
   * The connection that brings the bytes from `at` on; when its `from` is 0 instead, what came before is void. Errors: those of openDownload and DOWNLOAD_CHANGED, when patience is over;
   * abort reason.
   */
  async open(at: number, signal: AbortSignal): Promise<OpenDownload> {
    for (;;) {
      try {
        return await this.#attempt(at, signal)
      } catch (error) {
        await this.recover(error, signal)
      }
    }
  }

  /**
   * A segment of the present content, `to` included, beside other connections; at least its beginning. Errors: those of openDownload, DOWNLOAD_RANGE (also when something else than that content
   * came).
   */
  async openSegment(from: number, to: number, connection: FetchConnection, signal: AbortSignal): Promise<OpenDownload> {
    const content = this.#content
    const ifRange = ifRangeOf(content?.validators ?? {})
    if (content === undefined || ifRange === undefined) throw new AgentError('INTERNAL', 'a part of unknown content')
    const options = { ...this.#order.fetch, signal, range: { from, to, ifRange } }
    const download = await openDownload(content.location, options, connection)
    const same = agrees(content, download, content.source)
    if (download.isPart && same !== 'no') {
      this.#joined = true
      return download
    }
    download.close()
    const what = same === 'no' ? 'a part of another content' : 'everything'
    throw new AgentError('DOWNLOAD_RANGE', `${download.finalUrl} was asked for a part of the content and sent ${what}`)
  }

  /** After a failed attempt: resolves when the next one is due, with true when it is to ask another source. Throws when there is none. */
  async recover(error: unknown, signal: AbortSignal): Promise<boolean> {
    signal.throwIfAborted()
    this.#fault = toAgentError(error)
    const { source, delayMs } = this.#retries.after(error)
    this.#notice('the transfer was interrupted and is tried again', {
      err: errorText(error),
      delayMs,
      source: source + 1,
    })
    const moves = source !== this.#current
    this.#current = source
    await delay(delayMs, signal)
    return moves
  }

  /** After the whole proved to be wrong (`error`): resolves when it may be fetched again from the first byte, from here or a mirror. Throws `error` when there is no reason to hope for other bytes. */
  distrust(error: AgentError): void {
    const source = this.#content?.source
    // Segments that were mixed up once would be again.
    if (this.#joined && source !== undefined && this.#limits.of(source) > 1) this.narrow(source, error.message)
    if (this.#joined && !this.#distrusted) this.#distrusted = true
    else this.#current = this.#retries.after(error).source
    this.#joined = false
    this.#content = undefined
    this.#notice('what arrived is not what was asked for; beginning at the first byte again', { err: error.message })
  }

  async #attempt(at: number, signal: AbortSignal): Promise<OpenDownload> {
    this.#limits.raise(this.#current)
    const range = this.#rangeFrom(at)
    try {
      const download = await this.#connect(range, signal)
      try {
        this.#accept(download, at, range)
        if (!this.#mustNarrow(download, range)) return download
      } catch (error) {
        download.close()
        throw error
      }
      download.close()
    } catch (error) {
      if (range === undefined) throw error
      if (isAgentError(error, 'DOWNLOAD_RANGE')) {
        this.#partsRefused.add(this.#current)
        this.#notice('parts of this server are of no use; asking for everything', { err: errorText(error) })
      } else if (range.to !== undefined && isAgentError(error, 'DOWNLOAD_HTTP_STATUS') && !isTransient(error)) {
        // There are servers that refuse to send parts, or so many of them.
        this.narrow(this.#current, error.message)
      } else throw error
    }
    return this.#attempt(at, signal)
  }

  // True when what came is only a segment that no others can be put beside.
  #mustNarrow({ isPart, totalLength }: OpenDownload, range: RangeRequest | undefined): boolean {
    if (range?.to === undefined || (isPart && (totalLength ?? Infinity) <= range.to + 1)) return false
    const narrow = (why: string) => this.narrow(this.#current, why)
    if (!isPart) narrow('the server does not send parts')
    else if (totalLength === undefined) narrow('the server does not say how much there is')
    else if (ifRangeOf(this.#content?.validators ?? {}) === undefined)
      narrow('nothing tells whether parts are of the same content')
    else return false
    return isPart
  }

  async #connect(range: RangeRequest | undefined, signal: AbortSignal): Promise<OpenDownload> {
    const { urls, fetch } = this.#order
    const options = { ...fetch, signal, ...(range === undefined ? {} : { range }) }
    const url = urls[this.#current] ?? ''
    const location = this.#content?.location ?? url
    if (
      range === undefined ||
      this.#content?.source !== this.#current ||
      location === url ||
      this.#strays >= MAX_STRAYS
    ) {
      return openDownload(url, options)
    }
    // A redirector sends every request to another mirror, but only the one that began knows its own validators.
    try {
      return await openDownload(location, options)
    } catch (error) {
      signal.throwIfAborted()
      if (isTransient(error) && ++this.#strays < MAX_STRAYS) throw error
      // Links that carry a signature expire.
      this.#strays = MAX_STRAYS
      this.#notice('the server that began does not go on; asking the URL again', { err: errorText(error) })
      return openDownload(url, options)
    }
  }

  #rangeFrom(at: number): RangeRequest | undefined {
    const content = this.#content
    if (this.#partsRefused.has(this.#current)) return undefined
    const segment = this.connections > 1 ? { to: at + SEGMENT_BYTES - 1 } : {}
    if (at === 0 || content === undefined) return this.connections > 1 ? { from: 0, ...segment } : undefined
    const ifRange = content.source === this.#current ? ifRangeOf(content.validators) : undefined
    if (ifRange === undefined && !this.#order.proven) return undefined
    return { from: at, ...segment, ...(ifRange === undefined ? {} : { ifRange }) }
  }

  #accept(download: OpenDownload, at: number, range: RangeRequest | undefined): void {
    const before = this.#content
    const same = before === undefined ? 'unknown' : agrees(before, download, this.#current)
    if (download.from === at && at > 0) {
      if (same === 'no') throw new AgentError('DOWNLOAD_RANGE', `${download.finalUrl} sent a part of another content`)
    } else if (before !== undefined && at > 0) this.#beginAgain(download, before, same, range !== undefined)
    if (before !== undefined && before.source !== this.#current) this.#checkMirror(before, download)
    const totalLength = download.totalLength ?? (download.from > 0 ? before?.totalLength : undefined)
    this.#content = {
      source: this.#current,
      location: download.location,
      finalUrl: download.finalUrl,
      ...(totalLength === undefined ? {} : { totalLength }),
      // A part may come without them; those of another source are of no use.
      validators:
        download.from > 0 && before?.source === this.#current
          ? { ...before.validators, ...download.validators }
          : download.validators,
    }
    this.#strays = 0
    if (download.from > 0) this.#joined = true
    else this.#beginnings++
  }

  #beginAgain(download: OpenDownload, before: SourceContent, same: Agreement, asked: boolean): void {
    // A proxy that wants a login, or a maintenance page, is not the new content.
    if (download.webPage && same !== 'yes') {
      throw new AgentError('DOWNLOAD_TRUNCATED', `${download.finalUrl} sent a web page instead of the rest`)
    }
    if (before.source === this.#current && same === 'no') {
      if (++this.#changes > 1) {
        throw new AgentError('DOWNLOAD_CHANGED', `${download.finalUrl} changed again while it was fetched`)
      }
      this.#notice('the content changed on the server; beginning at the first byte again', { url: download.finalUrl })
      return
    }
    if (++this.#wholeAgain > MAX_WHOLE_AGAIN) {
      const last = this.#fault
      throw new AgentError(
        last?.reason ?? 'DOWNLOAD_TRUNCATED',
        `${download.finalUrl} breaks off again and again, and sends no parts whose content is known to be the same${last === undefined ? '' : `; at last: ${last.message}`}`,
        { details: { ...last?.details, final: 'true' } },
      )
    }
    const why = asked ? 'the server does not send parts' : 'nothing tells whether the content is the same'
    this.#notice(`${why}; beginning at the first byte again`, { url: download.finalUrl })
  }

  #checkMirror(before: SourceContent, { totalLength, finalUrl }: OpenDownload): void {
    if (totalLength === undefined || before.totalLength === undefined || totalLength === before.totalLength) return
    throw new AgentError(
      'DOWNLOAD_CHANGED',
      `${finalUrl} has ${totalLength} bytes, the source before it ${before.totalLength}: it is no mirror of it`,
    )
  }
}
