import { isIP, isIPv6 } from 'node:net'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'

/** Where an iSCSI target is served. `host` is a name or an address without brackets. */
export interface IscsiPortal {
  readonly host: string
  readonly port: number
}

/** User and secret of one-way CHAP (RFC 7143, 9.2.1). */
export interface Chap {
  readonly user: string
  readonly password: string
}

/** A target at one portal: what a session leads to. */
export interface IscsiTarget {
  readonly portal: IscsiPortal
  /** iSCSI name in lower case. */
  readonly name: string
}

const DEFAULT_PORT = 3260
const HOST_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/
const IPV6 = /^[0-9A-Fa-f:.]+$/
/** RFC 3720, 3.2.6.3: names by a registered domain and date, by EUI-64 and by NAA. Nothing in them means anything in a path or an option. */
const NAMES = [
  /^iqn\.\d{4}-(0[1-9]|1[0-2])\.[a-z0-9][a-z0-9.-]*(:[a-z0-9.:_-]+)?$/,
  /^eui\.[0-9a-f]{16}$/,
  /^naa\.([0-9a-f]{16}|[0-9a-f]{32})$/,
]
const MAX_NAME_BYTES = 223
/** What survives in a line of open-iscsi's node record, and its limit. */
const CHAP_TEXT = /^[\x21-\x7e]{1,255}$/

/** A portal as `host`, `host:port`, `[v6]:port` or a bare IPv6 address. POOL_CONFIG_INVALID. */
export function parseIscsiPortal(text: string): IscsiPortal {
  const match = /^(?:\[([^\]]*)\]|([^:[\]]*))(?::(\d{1,5}))?$/.exec(text)
  const host = isIPv6(text) ? text : (match?.[1] ?? match?.[2] ?? '')
  const port = isIPv6(text) ? DEFAULT_PORT : Number(match?.[3] ?? DEFAULT_PORT)
  const bracketed = !isIPv6(text) && match?.[1] !== undefined
  if (!isHost(host, bracketed)) {
    throw invalid('iscsi.portal', `${quote(text)} is neither a host name nor an address, with or without a port`)
  }
  if (port < 1 || port > 65535) throw invalid('iscsi.portal', `${quote(text)} has no valid port`)
  // One address has one spelling here, so that equal portals compare equal.
  return { host: isIPv6(host) ? canonicalIpv6(host) : host.toLowerCase(), port }
}

/** An iSCSI name, in lower case as initiators and targets compare it. POOL_CONFIG_INVALID. */
export function parseTargetName(text: string): string {
  const name = text.toLowerCase()
  if (NAMES.some((form) => form.test(name)) && name.length <= MAX_NAME_BYTES && !name.includes('..')) return name
  throw invalid('iscsi.target', `${quote(text)} is not an iSCSI name such as iqn.2025-01.com.example:storage`)
}

/** CHAP credentials that are to be used; POOL_CONFIG_INVALID, without a word of the password. */
export function parseChap(user: string, password: string): Chap {
  const rule = 'needs 1 to 255 printable ASCII characters without spaces'
  if (!CHAP_TEXT.test(user)) throw invalid('iscsi.chap_user', rule)
  if (!CHAP_TEXT.test(password)) throw invalid('iscsi.chap_password', rule)
  return { user, password }
}

/** `10.0.0.5:3260`, `[fd00::1]:3260`. */
export function portalText({ host, port }: IscsiPortal): string {
  return isIPv6(host) ? `[${host}]:${port}` : `${host}:${port}`
}

function isHost(host: string, bracketed: boolean): boolean {
  if (isIPv6(host)) return IPV6.test(host)
  if (bracketed) return false
  return /^[\d.]+$/.test(host) ? isIP(host) === 4 : HOST_NAME.test(host) && !host.includes('..')
}

function canonicalIpv6(host: string): string {
  return new URL(`http://[${host}]/`).hostname.slice(1, -1)
}

function invalid(field: string, text: string): AgentError {
  return new AgentError('POOL_CONFIG_INVALID', `${field}: ${text}`)
}
