import { isIP, isIPv6 } from 'node:net'
import { z } from 'zod'
import { AgentError, isAgentError } from '../core/errors.ts'
import { quote } from '../core/ids.ts'
import type { MonitorAddress } from '../core/model.ts'
import { run } from '../platform/exec.ts'
import { absolutePathOption } from './pool-options.ts'

/** How a host reaches a Ceph cluster: what the `ceph` message of the contract says of it. */
export interface CephClient {
  /** At least one, sorted, each once. */
  readonly monitors: readonly MonitorAddress[]
  /** Without `client.`. */
  readonly user: string
  /** Keyring file of the configuration, or the default one; absolute. */
  readonly keyringPath: string
  /** Keyring files of this host that may have the key of `user`, in the order they are asked. */
  readonly keyrings: readonly string[]
}

/** Fields of the `ceph` message that every pool on Ceph has. `clusterId` and `secretUuid` are kept as they are. */
export const cephClientFields = {
  clusterId: z.string().default(''),
  monitors: z.array(z.string()).min(1, 'is missing'),
  user: z.string().default(''),
  keyringPath: z.string().default(''),
  secretUuid: z.string().default(''),
}

const DEFAULT_USER = 'admin'
/** Of a monitor whose port is not told: that of the protocol every version speaks (msgr 1). */
export const DEFAULT_MONITOR_PORT = 6789
const MAX_MONITORS = 16
const AUTHTOOL_TIMEOUT_MS = 10_000
const CONNECT_TIMEOUT_S = 5
/** The client is written in Python: its start takes long on a busy host, which must not be told as a cluster that does not answer. */
const ASK_TIMEOUT_MS = 30_000

/** A client from the fields of the `ceph` message, defaults filled in. POOL_CONFIG_INVALID names the field. */
export function parseCephClient(given: { monitors: readonly string[]; user: string; keyringPath: string }): CephClient {
  const user = given.user === '' ? DEFAULT_USER : given.user.replace(/^client\./, '')
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}$/.test(user)) {
    throw invalid('ceph.user', `${quote(user)} is not the name of a Ceph user`)
  }
  const usual = [keyringOf(user), keyringOf(DEFAULT_USER)]
  const keyrings =
    given.keyringPath === '' ? [...new Set(usual)] : [absolutePathOption('ceph.keyring_path', given.keyringPath)]
  const [keyringPath = ''] = keyrings
  const texts = given.monitors.flatMap((text) => text.split(',')).map((text) => text.trim())
  const distinct = new Map(texts.map(parseMonitor).map((monitor) => [monitorText(monitor), monitor]))
  if (distinct.size > MAX_MONITORS) throw invalid('ceph.monitors', `more than ${MAX_MONITORS} are not used`)
  const monitors = [...distinct].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, monitor]) => monitor)
  return { monitors, user, keyringPath, keyrings }
}

// Ceph's own place for the key of a user. Control planes take the one of the administrator for the default (contract 1.4): it may hold other keys too.
function keyringOf(user: string): string {
  return `/etc/ceph/ceph.client.${user}.keyring`
}

/** `host:port`, with brackets around an IPv6 address. */
export function monitorText({ host, port }: MonitorAddress): string {
  return `${isIPv6(host) ? `[${host}]` : host}:${port}`
}

/** Whether one of the monitors is among the `others` (monitorText). Both protocols of a monitor with the usual ports are the same one. */
export function sharesMonitor(monitors: readonly MonitorAddress[], others: readonly string[]): boolean {
  const key = (text: string) => text.toLowerCase().replace(/:3300$/, ':6789')
  const known = new Set(monitors.map((monitor) => key(monitorText(monitor))))
  return others.some((other) => known.has(key(other)))
}

/** A monitor as `host`, `host:port`, `[v6]:port`. POOL_CONFIG_INVALID. */
export function parseMonitor(text: string): MonitorAddress {
  const [, v6, name, portText] = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::(\d{1,5}))?$/.exec(text) ?? []
  const host = v6 ?? name ?? (isIPv6(text) ? text : '')
  const port = portText === undefined ? DEFAULT_MONITOR_PORT : Number(portText)
  const numeric = /^[\d.]+$/.test(host)
  const good =
    v6 === undefined && !isIPv6(host)
      ? /^[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_])?$/.test(host) && (!numeric || isIP(host) === 4)
      : isIPv6(host) && !host.includes('%')
  if (!good || port < 1 || port > 65_535) {
    throw invalid('ceph.monitors', `${quote(text)} is not a monitor as host:port`)
  }
  return { host, port }
}

/**
 * The key of a client from its keyring file, which is read by a tool of Ceph so that nothing of the agent waits for the file. Errors: POOL_CONFIG_INVALID when
 * the file or the user in it is missing, COMMAND_*.
 */
export async function readCephKey({ user, keyrings }: CephClient, signal: AbortSignal): Promise<string> {
  for (const keyring of keyrings) {
    const args = ['--name', `client.${user}`, '--print-key', keyring]
    const command = { file: 'ceph-authtool', args, package: 'ceph-common', timeoutMs: AUTHTOOL_TIMEOUT_MS }
    const key = await run(command, signal)
      .then(({ stdout }) => stdout.trim())
      .catch((error: unknown) => {
        if (!isAgentError(error, 'COMMAND_FAILED')) throw error
        return ''
      })
    if (/^[A-Za-z0-9+/]{16,}={0,2}$/.test(key)) return key
  }
  throw invalid('ceph.keyring_path', `no key of client.${user} is in ${keyrings.join(' or ')} on this host`)
}

/**
 * What `ceph ARGUMENTS` answers, as text. Errors: LOGIN_DENIED for a wrong user or key and for what the user may not ask, SERVER_UNKNOWN, SERVER_NOT_ANSWERING,
 * COMMAND_*.
 */
export async function askCluster(client: CephClient, args: readonly string[], signal: AbortSignal): Promise<string> {
  const monitors = client.monitors.map(monitorText).join(',')
  // No configuration of the host: it may be that of another cluster.
  const options = [
    ...['--conf', '/dev/null', '-m', monitors, '--name', `client.${client.user}`],
    ...['--keyring', client.keyrings.join(','), '--connect-timeout', `${CONNECT_TIMEOUT_S}`],
  ]
  const command = { file: 'ceph', args: [...options, ...args], package: 'ceph-common', timeoutMs: ASK_TIMEOUT_MS }
  try {
    return (await run(command, signal)).stdout
  } catch (error) {
    throw cephFailure(error, client)
  }
}

/** A failed call of a Ceph tool as what it means for `client`; other errors pass through. */
export function cephFailure(error: unknown, client: CephClient): unknown {
  if (!isAgentError(error, 'COMMAND_FAILED', 'DEADLINE_EXCEEDED')) return error
  const found = FAILURES.find(([pattern]) => pattern.test(error.message))
  return found === undefined ? error : new AgentError(found[1], found[2](client), { cause: error })
}

/** What the cluster is called in messages. */
export function clusterName({ monitors }: CephClient): string {
  const texts = monitors.map((monitor) => monitorText(monitor).replace(/:6789$/, ''))
  return `Ceph cluster ${texts.join(', ')}`
}

const FAILURES = [
  [
    /server name not found|unable to parse addrs|failed to resolve/i,
    'SERVER_UNKNOWN',
    (client: CephClient) => `a monitor name of ${clusterName(client)} cannot be resolved to an address`,
  ],
  [
    /permission denied|operation not permitted|access denied|EACCES|EPERM|error calling connect: .*95|errno 95/i,
    'LOGIN_DENIED',
    (client: CephClient) =>
      `${clusterName(client)} refuses client.${client.user}; check the user, its key in ${client.keyringPath} and its capabilities`,
  ],
  [
    /timed out|did not finish within|errno 110|connection refused/i,
    'SERVER_NOT_ANSWERING',
    (client: CephClient) => `${clusterName(client)} does not answer`,
  ],
] as const

function invalid(field: string, text: string): AgentError {
  return new AgentError('POOL_CONFIG_INVALID', `${field}: ${text}`)
}
