import { AgentError, errorText, isAgentError, toAgentError } from '../core/errors.ts'
import { delay } from '../platform/clock.ts'
import { ifRangeOf, type RangeRequest, type Validators } from '../platform/http-answer.ts'
import { openDownload, type FetchOptions, type OpenDownload } from '../platform/http-fetch.ts'
import { isTransient, Retries } from './retries.ts'

/** Where the bytes of an image come from. */
export interface SourceOrder {
  /** The URL of the request and its mirrors, in order of preference; all have the same content. */
  readonly urls: readonly string[]
  /** The digest of the whole is known: parts without a validator may be joined, for the end proves them. */
  readonly proven: boolean
  readonly patienceMs: number
  readonly fetch: Omit<FetchOptions, 'signal' | 'range'>
}

/** What is known of the content that the bytes so far are part of; kept in the journal. */
export interface SourceContent {
  /** Index of the URL it came from. */
  readonly source: number
  /** Where its redirects led, with query. */
  readonly location: string
  readonly finalUrl: string
  readonly totalLength?: number
  readonly validators: Validators
}

/** Tells what happened on the way, for the log of the job. */
export type SourceNotice = (text: string, facts?: Readonly<Record<string, string | number>>) => void

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
  #changes = 0
  #wholeAgain = 0
  /** What ended the last connection. */
  #fault: AgentError | undefined
  #joined = false
  #distrusted = false

  /** `content` is that of the bytes an earlier run has made durable. */
  constructor(order: SourceOrder, notice: SourceNotice, content?: SourceContent) {
    this.#order = order
    this.#notice = notice
    this.#content = content
    this.#current = content?.source ?? 0
    this.#retries = new Retries({ patienceMs: order.patienceMs, sources: order.urls.length }, this.#current)
  }

  /** Known after the first `open`. */
  get content(): SourceContent | undefined {
    return this.#content
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

  /** After a failed attempt: resolves when the next one is due. Throws when there is none. */
  async recover(error: unknown, signal: AbortSignal): Promise<void> {
    signal.throwIfAborted()
    this.#fault = toAgentError(error)
    const { source, delayMs } = this.#retries.after(error)
    this.#notice('the transfer was interrupted and is tried again', {
      err: errorText(error),
      delayMs,
      source: source + 1,
    })
    this.#current = source
    await delay(delayMs, signal)
  }

  /** After the whole proved to be wrong (`error`): resolves when it may be fetched again from the first byte, from here or a mirror. Throws `error` when there is no reason to hope for other bytes. */
  distrust(error: AgentError): void {
    if (this.#joined && !this.#distrusted) this.#distrusted = true
    else this.#current = this.#retries.after(error).source
    this.#joined = false
    this.#content = undefined
    this.#notice('what arrived is not what was asked for; beginning at the first byte again', { err: error.message })
  }

  async #attempt(at: number, signal: AbortSignal): Promise<OpenDownload> {
    const range = this.#rangeFrom(at)
    try {
      const download = await this.#connect(range, signal)
      try {
        return this.#accept(download, at, range)
      } catch (error) {
        download.close()
        throw error
      }
    } catch (error) {
      if (range === undefined || !isAgentError(error, 'DOWNLOAD_RANGE')) throw error
      this.#partsRefused.add(this.#current)
      this.#notice('parts of this server are of no use; asking for everything', { err: errorText(error) })
      return this.#attempt(at, signal)
    }
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
    if (at === 0 || content === undefined || this.#partsRefused.has(this.#current)) return undefined
    const ifRange = content.source === this.#current ? ifRangeOf(content.validators) : undefined
    if (ifRange === undefined && !this.#order.proven) return undefined
    return { from: at, ...(ifRange === undefined ? {} : { ifRange }) }
  }

  #accept(download: OpenDownload, at: number, range: RangeRequest | undefined): OpenDownload {
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
      // A part may come without them.
      validators: download.from > 0 ? { ...before?.validators, ...download.validators } : download.validators,
    }
    this.#strays = 0
    if (download.from > 0) this.#joined = true
    return download
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

type Agreement = 'yes' | 'no' | 'unknown'

// Whether an answer is of the content known so far. Validators of one server say nothing about another one's.
function agrees(before: SourceContent, { validators, totalLength }: OpenDownload, source: number): Agreement {
  const sizes = [before.totalLength, totalLength]
  if (sizes[0] !== undefined && sizes[1] !== undefined && sizes[0] !== sizes[1]) return 'no'
  if (before.source !== source) return 'unknown'
  for (const name of ['etag', 'lastModified'] as const) {
    const [old, now] = [before.validators[name], validators[name]]
    if (old !== undefined && now !== undefined) return old === now ? 'yes' : 'no'
  }
  return 'unknown'
}
