import { lookup as dnsLookup, type LookupAddress, type LookupOptions } from 'node:dns'
import { isIP, type LookupFunction } from 'node:net'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import { isPublicAddress } from './address-guard.ts'

/** Resolves a name to all its addresses; `dns.lookup` is the default, tests give their own. */
export type ResolveAll = (
  hostname: string,
  options: LookupOptions & { all: true },
  callback: (error: NodeJS.ErrnoException | null, addresses: LookupAddress[]) => void,
) => void

/** Which addresses may be fetched from. */
export interface FetchPolicy {
  /** Opens loopback, private, link-local and other special addresses. */
  readonly allowPrivateAddresses: boolean
  readonly resolve?: ResolveAll
  /** Mirrors that an admin has put in the place of others. */
  readonly rewrites?: readonly UrlRewrite[]
}

/** URLs that begin with `from` are fetched from `to` instead; both end with a slash. */
export interface UrlRewrite {
  readonly from: string
  readonly to: string
}

/** Where `text` is fetched from: the first rewrite whose prefix it has counts, once. */
export function rewriteUrl(text: string, rewrites: readonly UrlRewrite[] = []): string {
  // In normal form, so that no other spelling of the same URL gets around it.
  const url = URL.parse(text)?.href ?? text
  const rewrite = rewrites.find(({ from }) => url.startsWith(from))
  return rewrite === undefined ? text : rewrite.to + url.slice(rewrite.from.length)
}

/** True for a server that an admin has named as a mirror: its address may be private. */
export function isNamedMirror(url: URL, rewrites: readonly UrlRewrite[] = []): boolean {
  return rewrites.some(({ to }) => URL.parse(to)?.origin === url.origin)
}

/** `text` as a URL the agent may fetch: http or https, no user or password, no literal address that the policy refuses. Throws URL_REFUSED. */
export function parseFetchUrl(text: string, policy: FetchPolicy): URL {
  const url = URL.parse(text)
  if (url === null) throw refused(`${quote(text)} is not a URL`)
  if (url.protocol !== 'http:' && url.protocol !== 'https:') {
    throw refused(`${quote(withoutQuery(url))}: only http and https are fetched`)
  }
  if (url.username !== '' || url.password !== '') {
    throw refused(`the URL at host ${quote(url.hostname)} carries a user or password, which would end up in records`)
  }
  const host = url.hostname.replace(/^\[|\]$/g, '')
  const special = isIP(host) === 0 ? /(^|\.)localhost\.?$/i.test(host) : !isPublicAddress(host)
  if (special && !policy.allowPrivateAddresses && !isNamedMirror(url, policy.rewrites)) throw refusedAddress(host)
  return url
}

/**
 * A lookup for sockets that hands out only addresses the policy allows: what was checked is what is connected to, so that a name which changes its answer between
 * check and use gains nothing. Fails with URL_REFUSED when no address is left.
 */
export function guardedLookup(policy: FetchPolicy): LookupFunction {
  const resolve: ResolveAll = policy.resolve ?? dnsLookup
  return (hostname, options, callback) => {
    resolve(hostname, { ...options, all: true }, (error, addresses) => {
      if (error !== null) {
        callback(error, [])
        return
      }
      const allowed = addresses.filter(({ address }) => policy.allowPrivateAddresses || isPublicAddress(address))
      const [first] = allowed
      if (first === undefined) callback(refusedAddress(hostname), [])
      else if (options.all === true) callback(null, allowed)
      else callback(null, first.address, first.family)
    })
  }
}

/** A URL for logs and errors: query and fragment often carry tokens, and the user part a password. */
export function withoutQuery(url: URL): string {
  return `${url.protocol}//${url.host}${url.pathname}`
}

function refusedAddress(host: string): AgentError {
  return refused(
    `host ${quote(host)} is or resolves to a loopback, private or otherwise special address; set downloads.allow_private_addresses to allow it`,
  )
}

function refused(text: string): AgentError {
  return new AgentError('URL_REFUSED', text)
}
