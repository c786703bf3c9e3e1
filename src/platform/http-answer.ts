import { AgentError } from '../core/errors.ts'
import { withoutQuery } from './fetch-policy.ts'

/** Headers of an answer, names in lower case. */
export type AnswerHeaders = Readonly<Record<string, string | string[] | undefined>>

/** What tells one content from another behind the same URL; only what is strong enough to join parts by (RFC 9110, 8.8). */
export interface Validators {
  readonly etag?: string
  readonly lastModified?: string
}

/** A request for the bytes from `from` on, up to and with `to` when that is given. With `ifRange` (a validator) the server sends everything instead when the content is another one. */
export interface RangeRequest {
  readonly from: number
  readonly to?: number
  readonly ifRange?: string
}

/** What the headers of an accepted answer say of its body. */
export interface BodyFacts {
  /** Where the redirects ended, without query. */
  readonly finalUrl: string
  /** The same with its query, which may carry a token. */
  readonly location: string
  /** Where in the whole content the body begins: 0, or `from` of the range that was asked for. */
  readonly from: number
  /** Of the range that was asked for, or a beginning of that; else all of the content. */
  readonly isPart: boolean
  /** Announced length of the body; undefined for a chunked or unbounded one. */
  readonly contentLength: number | undefined
  /** Length of the whole content, as far as it is told. */
  readonly totalLength: number | undefined
  readonly validators: Validators
  /** The server calls it a web page. */
  readonly webPage: boolean
}

const CONTENT_RANGE = /^bytes (\d{1,15})-(\d{1,15})\/(\d{1,15}|\*)$/i
const VALIDATOR_LIMIT = 1024

/**
 * Accepts an answer to a request for everything, or for `range`. Errors: DOWNLOAD_HTTP_STATUS (details `status`, and `retryAfterMs` when the server names a time), DOWNLOAD_RANGE (bytes of another range than asked
 * for).
 */
export function acceptAnswer(url: URL, status: number, headers: AnswerHeaders, range?: RangeRequest): BodyFacts {
  const name = withoutQuery(url)
  if (range !== undefined && status === 416) throw rangeRefused(name, 'has no bytes from there on')
  if (status !== 200 && !(status === 206 && range !== undefined)) {
    throw new AgentError('DOWNLOAD_HTTP_STATUS', `${name} answered with HTTP status ${status}`, {
      details: { status: String(status), ...retryAfter(headers) },
    })
  }
  const encoding = headers['content-encoding']
  if (encoding !== undefined && encoding !== 'identity') {
    throw new AgentError('DOWNLOAD_HTTP_STATUS', `${name} was sent with a content encoding that was not asked for`)
  }
  const announced = headers['content-length']
  const contentLength =
    typeof announced === 'string' && headers['transfer-encoding'] === undefined ? Number(announced) : undefined
  const common = {
    finalUrl: name,
    location: url.href,
    validators: strongValidators(headers),
    webPage: /^(text\/html|application\/xhtml)/i.test(text(headers['content-type']) ?? ''),
  }
  if (status === 200 || range === undefined) {
    return { ...common, from: 0, isPart: false, contentLength, totalLength: contentLength }
  }
  const part = parsePart(name, text(headers['content-range']), range)
  if (contentLength !== undefined && contentLength !== part.length) {
    throw rangeRefused(name, 'announced another length than that of the range it sends')
  }
  return { ...common, from: range.from, isPart: true, contentLength, totalLength: part.total }
}

/** The validator for If-Range, or undefined when there is none. */
export function ifRangeOf({ etag, lastModified }: Validators): string | undefined {
  return etag ?? lastModified
}

function parsePart(name: string, value: string | undefined, range: RangeRequest): { length: number; total?: number } {
  const match = CONTENT_RANGE.exec(value ?? '')
  if (match === null) throw rangeRefused(name, 'sent a part without saying which')
  const [from, to] = [Number(match[1]), Number(match[2])]
  const total = match[3] === '*' ? undefined : Number(match[3])
  const last = Math.min(range.to ?? Infinity, (total ?? Infinity) - 1)
  if (from !== range.from || to < from || to > last) {
    throw rangeRefused(name, `sent bytes ${from} to ${to} of ${match[3]} instead`)
  }
  return { length: to - from + 1, ...(total === undefined ? {} : { total }) }
}

function strongValidators(headers: AnswerHeaders): Validators {
  const etag = text(headers['etag'])
  const lastModified = text(headers['last-modified'])
  const [changed, sent] = [Date.parse(lastModified ?? ''), Date.parse(text(headers['date']) ?? '')]
  return {
    // A weak one begins with W/.
    ...(etag !== undefined && /^"[\x21\x23-\x7e\x80-\xff]*"$/.test(etag) ? { etag } : {}),
    // A change within the second of the answer would not show.
    ...(lastModified !== undefined && sent - changed >= 1000 ? { lastModified } : {}),
  }
}

function retryAfter(headers: AnswerHeaders): { retryAfterMs?: string } {
  const value = text(headers['retry-after']) ?? ''
  const ms = /^\d{1,9}$/.test(value) ? Number(value) * 1000 : Date.parse(value) - Date.now()
  return Number.isFinite(ms) ? { retryAfterMs: String(Math.max(0, Math.round(ms))) } : {}
}

function text(value: string | string[] | undefined): string | undefined {
  return typeof value === 'string' && value.length <= VALIDATOR_LIMIT ? value : undefined
}

function rangeRefused(name: string, why: string): AgentError {
  return new AgentError('DOWNLOAD_RANGE', `${name} was asked for a part of the content and ${why}`)
}
