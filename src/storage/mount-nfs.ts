import { isIP, isIPv6 } from 'node:net'
import { AgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { MountEntry } from '../platform/mounts.ts'
import { absolutePathOption } from './pool-options.ts'

/** Protocol versions a pool may name; `4` is the newest of 4.x that both sides speak. */
export const NFS_VERSIONS = ['3', '4', '4.0', '4.1', '4.2'] as const
export type NfsVersion = (typeof NFS_VERSIONS)[number]

/** What an NFS pool is mounted from and how; `source` as in `server:/path`. */
export interface NfsMount {
  readonly source: string
  readonly version: NfsVersion
  readonly options: readonly string[]
}

const NUMBER = /^\d{1,7}$/
const WORD = /^[a-z0-9_]{1,32}$/
const PROTOCOL = /^(tcp6?|udp6?|rdma6?)$/
const SECURITY = /^(sys|none|krb5|krb5i|krb5p)(:(sys|none|krb5|krb5i|krb5p))*$/

/**
 * Options of nfs(5) and mount(8) a pool may give, with the form of their values (null: none). Whatever is not here could lead the mount elsewhere, detach it from
 * its deadline, or undo what the agent relies on.
 */
const ALLOWED: Readonly<Record<string, RegExp | null>> = {
  ...flags('hard soft softerr softreval nosoftreval ac noac cto nocto acl noacl lock nolock rdirplus nordirplus'),
  ...flags('sharecache nosharecache resvport noresvport fsc nofsc migration nomigration trunkdiscovery'),
  ...flags('notrunkdiscovery atime noatime relatime norelatime strictatime nodiratime lazytime async sync dirsync'),
  ...values(NUMBER, 'timeo retrans rsize wsize acregmin acregmax acdirmin acdirmax actimeo nconnect max_connect'),
  ...values(NUMBER, 'port mountport namlen'),
  ...values(PROTOCOL, 'proto mountproto'),
  ...values(WORD, 'lookupcache local_lock write xprtsec'),
  sec: SECURITY,
}

/** Why an option that people try is not allowed. */
const REFUSED: Readonly<Record<string, string>> = {
  ...said('vers nfsvers v3 v4 minorversion', 'give the protocol version in nfs.version'),
  ...said('ro', 'the agent keeps its marker and records in the pool'),
  ...said('bg retry', 'the agent retries by itself'),
  ...said('suid dev exec', 'a pool holds data, not programs'),
}

/** Options of every mount; docs/storage.md has the reasons. */
const ALWAYS = ['nosuid', 'nodev', 'noexec', 'retry=0']
const RECOVERY = ['hard', 'soft', 'softerr']
/** Options whose difference makes a mount another one. The kernel prints them as they were given. */
const ESSENTIAL = ['proto', 'port', 'sec', 'lock', 'nolock']

/** A server name or address, and how it stands in front of the colon of a mount source. POOL_CONFIG_INVALID. */
export function parseNfsServer(text: string): { server: string; source: string } {
  const bare = text.replace(/^\[(.*)\]$/, '$1')
  if (isIPv6(bare) && /^[A-Za-z0-9:.%_-]+$/.test(bare)) return { server: bare, source: `[${bare}]` }
  const name = /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/.test(text) && !text.includes('..')
  const numeric = /^[\d.]+$/.test(text)
  if (!name || (numeric && isIP(text) === 0)) {
    throw invalid('nfs.server', `${quote(text)} is neither a host name nor an address`)
  }
  return { server: text, source: text }
}

/** The absolute path of an export, normalised. POOL_CONFIG_INVALID. */
export function parseExportPath(text: string): string {
  return absolutePathOption('nfs.export_path', text)
}

/** The options of a pool's configuration, a comma list, as single ones. POOL_CONFIG_INVALID names the option that is not allowed. */
export function parseNfsOptions(text: string): string[] {
  const options = text.split(',').filter((option) => option !== '')
  const seen = new Set<string>()
  for (const option of options) {
    const [key = '', value] = splitOption(option)
    const why = REFUSED[key]
    if (why !== undefined) throw invalid('nfs.options', `${quote(option)} is not allowed: ${why}`)
    const form = Object.hasOwn(ALLOWED, key) ? ALLOWED[key] : undefined
    const good = form === null ? value === undefined : form !== undefined && value !== undefined && form.test(value)
    if (!good) throw invalid('nfs.options', `${quote(option)} is not an option that pools may have`)
    const group = RECOVERY.includes(key) ? 'hard/soft/softerr' : key.replace(/^no(?=lock|ac|cto|acl)/, '')
    if (seen.has(group)) throw invalid('nfs.options', `${quote(option)} comes twice or contradicts another option`)
    seen.add(group)
  }
  return options
}

/** All options of the mount: the version always stated, hard unless the pool says otherwise. */
export function nfsMountOptions(version: NfsVersion, extra: readonly string[]): string[] {
  const recovery = extra.some((option) => RECOVERY.includes(option)) ? [] : ['hard']
  return [`vers=${version}`, ...recovery, ...ALWAYS, ...extra]
}

/** Why a mount is not `wanted`, or undefined when it is: server, export, type, version, behaviour towards a dead server, and options that change the data. */
export function nfsMismatch(entry: MountEntry, wanted: NfsMount): string | undefined {
  const { mountPoint, fsType } = entry
  if (fsType !== 'nfs' && fsType !== 'nfs4') {
    return `${mountPoint} is mounted from ${entry.source} (${fsType}), not from the NFS export ${wanted.source}`
  }
  if (plain(entry.source) !== plain(wanted.source)) {
    const kind = serverOf(entry.source) === serverOf(wanted.source) ? 'another export' : 'another server'
    return `${mountPoint} is mounted from ${kind}, ${entry.source} instead of ${wanted.source}`
  }
  const has = entry.superOptions.split(',')
  const version = valueOf(has, 'vers') ?? ''
  if (version !== wanted.version && !(wanted.version === '4' && version.startsWith('4.'))) {
    return `${mountPoint} is mounted with NFS version ${version}, not ${wanted.version}`
  }
  const missing = wanted.options.find((option) => {
    const [key = ''] = splitOption(option)
    if (RECOVERY.includes(key)) return !has.includes(option)
    if (key === 'sec' && option.includes(':')) return false
    return ESSENTIAL.includes(key) && key !== 'lock' && !has.includes(option)
  })
  if (missing !== undefined) return `${mountPoint} is mounted from ${entry.source} without the option ${missing}`
  if (entry.options.split(',').includes('ro') || has.includes('ro')) return `${mountPoint} is mounted read-only`
  return undefined
}

/** Server and export of a mount source, or undefined when it is not of that form. */
export function splitNfsSource(source: string): { server: string; exportPath: string } | undefined {
  const match = /^(?:\[(.+?)\]|([^:[\]]+)):(\/.*)$/.exec(source)
  const [, v6, name, exportPath] = match ?? []
  const server = v6 ?? name
  return server === undefined || exportPath === undefined ? undefined : { server, exportPath }
}

/** Version and options under which a mount that was found counts as the pool's own. */
export function optionsOfMount(entry: MountEntry): { version: string; options: string } {
  const has = entry.superOptions.split(',')
  const kept = has.filter((option) => option === 'soft' || option === 'softerr' || option === 'nolock')
  return { version: valueOf(has, 'vers') ?? '', options: kept.join(',') }
}

/** The words of mount.nfs(8) from nfs-utils 2.x; the first that fits counts. */
const FAILURES: readonly (readonly [
  RegExp,
  (where: { server: string; exportPath: string; words: string }) => AgentError,
])[] = [
  [
    // "Resource temporarily unavailable" is how it reports a name server that does not answer.
    /Failed to resolve server|Name or service not known|Temporary failure in name|Resource temporarily unavailable/,
    ({ server }) =>
      new AgentError('SERVER_UNKNOWN', `the name of NFS server ${server} cannot be resolved to an address`),
  ],
  [
    /Connection timed out|Connection refused|No route to host|Network is unreachable|Host is down|Connection reset|Unable to receive|timed out/i,
    ({ server, words }) =>
      new AgentError('SERVER_NOT_ANSWERING', `NFS server ${server} does not answer (${cause(words)})`),
  ],
  [
    /rpc\.statd is not running/,
    ({ server }) =>
      new AgentError(
        'MOUNT_FAILED',
        `locking over NFS version 3 with ${server} needs rpc.statd and rpcbind on this host; start them, use version 4.1, or give the option nolock if no other host uses the pool`,
      ),
  ],
  [
    /reason given by server: No such file or directory/,
    ({ server, exportPath }) =>
      new AgentError(
        'EXPORT_MISSING',
        `NFS server ${server} has no export ${exportPath} for this host; check the path and the export list of the server`,
      ),
  ],
  [
    /access denied by server|Permission denied|Operation not permitted/,
    ({ server, exportPath }) =>
      new AgentError('EXPORT_DENIED', `NFS server ${server} does not let this host use ${exportPath}`),
  ],
  [
    /Protocol not supported|NFS version or transport protocol is not supported|incorrect mount option|invalid mount option|not supported/i,
    ({ server }) =>
      new AgentError(
        'MOUNT_OPTION_REFUSED',
        `version or options of the pool are not supported by this host or NFS server ${server}; check nfs.version and nfs.options`,
      ),
  ],
  [
    /Stale (NFS )?file handle/,
    ({ server, exportPath }) =>
      new AgentError('POOL_STALE', `NFS server ${server} no longer knows ${exportPath}; export it anew`),
  ],
  [
    /need a \/sbin\/mount\.|unknown filesystem type/,
    () => new AgentError('COMMAND_MISSING', 'mount.nfs is not installed; install the Debian package nfs-common'),
  ],
]

/** What the words of a failed mount.nfs mean; undefined when they are new. */
export function nfsMountFailure(words: string, server: string, exportPath: string): AgentError | undefined {
  return FAILURES.find(([pattern]) => pattern.test(words))?.[1]({ server, exportPath, words })
}

function cause(words: string): string {
  return (
    /timed out|refused|No route to host|unreachable|is down|reset/i.exec(words)?.[0].toLowerCase() ?? 'no connection'
  )
}

function invalid(field: string, text: string): AgentError {
  return new AgentError('POOL_CONFIG_INVALID', `${field}: ${text}`)
}

function splitOption(option: string): [key: string, value: string | undefined] {
  const at = option.indexOf('=')
  return at === -1 ? [option, undefined] : [option.slice(0, at), option.slice(at + 1)]
}

function valueOf(options: readonly string[], key: string): string | undefined {
  return options.find((option) => option.startsWith(`${key}=`))?.slice(key.length + 1)
}

function serverOf(source: string): string {
  return splitNfsSource(source)?.server.toLowerCase() ?? source
}

// The kernel keeps a trailing slash that was given.
function plain(source: string): string {
  const place = splitNfsSource(source)
  return place === undefined ? source : `${place.server.toLowerCase()}:${place.exportPath.replace(/(.)\/+$/, '$1')}`
}

function flags(names: string): Record<string, null> {
  return Object.fromEntries(names.split(' ').map((name) => [name, null]))
}

function values(form: RegExp, names: string): Record<string, RegExp> {
  return Object.fromEntries(names.split(' ').map((name) => [name, form]))
}

function said(names: string, why: string): Record<string, string> {
  return Object.fromEntries(names.split(' ').map((name) => [name, why]))
}
