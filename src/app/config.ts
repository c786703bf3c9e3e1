import { readFile } from 'node:fs/promises'
import { BlockList, isIP } from 'node:net'
import { parseDocument } from 'yaml'
import { AgentError, errorText } from '../core/errors.ts'
import { configSchema, type Config } from './config-schema.ts'

/** Values from the command line that win over the file; only what the user typed is in here. */
export interface ConfigOverrides {
  readonly logLevel?: string
  readonly listen?: string
  readonly httpListen?: string
  readonly controlPlane?: string
  readonly libvirtUri?: string
  readonly nodeId?: string
  readonly register?: boolean
  readonly stateDir?: string
  readonly enableHttps?: boolean
  readonly httpsListen?: string
  readonly tlsCert?: string
  readonly tlsKey?: string
  readonly redirectHttp?: boolean
  readonly redirectPort?: string
}

/** Where the file is looked for when none is named. */
export const DEFAULT_CONFIG_FILE = '/etc/limiquantix/node.yaml'

/** Reads, checks and completes the configuration. CONFIG_INVALID lists every wrong key with its path. */
export async function loadConfig(file: string, overrides: ConfigOverrides = {}): Promise<Config> {
  let text: string
  try {
    text = await readFile(file, 'utf8')
  } catch (error) {
    throw new AgentError('CONFIG_INVALID', `configuration file ${file} cannot be read: ${errorText(error)}`, {
      cause: error,
    })
  }
  return parseConfig(text, file, overrides)
}

/** The same for text; `name` stands for the file in messages. */
export function parseConfig(text: string, name: string, overrides: ConfigOverrides = {}): Config {
  const document = parseDocument(text, { prettyErrors: true })
  const problem = document.errors[0]
  if (problem !== undefined) throw new AgentError('CONFIG_INVALID', `${name}: ${problem.message.trim()}`)
  const parsed = configSchema.safeParse(applyOverrides((document.toJS() as unknown) ?? {}, overrides))
  if (!parsed.success) {
    const lines = parsed.error.issues.flatMap((issue) =>
      issue.code === 'unrecognized_keys'
        ? issue.keys.map((key) => `  ${[...issue.path, key].join('.')}: unknown key`)
        : [`  ${issue.path.join('.') || '(top level)'}: ${issue.message}`],
    )
    throw new AgentError('CONFIG_INVALID', `${name} is not valid:\n${lines.join('\n')}`)
  }
  checkWhole(parsed.data, name)
  return parsed.data
}

/** `host:port` as its parts; IPv6 in brackets. */
export function splitListenAddress(address: string): { host: string; port: number } {
  const at = address.lastIndexOf(':')
  return { host: address.slice(0, at).replace(/^\[|\]$/g, ''), port: Number(address.slice(at + 1)) }
}

/** The addresses of server.allow_from plus loopback, as a check on a peer address. CONFIG_INVALID for text that is no address. */
export function allowedPeers(allowFrom: readonly string[]): (address: string) => boolean {
  const list = new BlockList()
  list.addSubnet('127.0.0.0', 8, 'ipv4')
  list.addAddress('::1', 'ipv6')
  for (const entry of allowFrom) {
    const [address = '', prefix] = entry.split('/')
    const family = isIP(address)
    const bits = prefix === undefined ? (family === 6 ? 128 : 32) : Number(prefix)
    if (family === 0 || !Number.isInteger(bits) || bits < 0 || bits > (family === 6 ? 128 : 32)) {
      throw new AgentError(
        'CONFIG_INVALID',
        `server.allow_from: ${JSON.stringify(entry)} is not an address or CIDR range`,
      )
    }
    list.addSubnet(address, bits, family === 6 ? 'ipv6' : 'ipv4')
  }
  return (peer) => {
    const plain = peer.replace(/^::ffff:/, '')
    const family = isIP(plain)
    return family !== 0 && list.check(plain, family === 6 ? 'ipv6' : 'ipv4')
  }
}

/** Who may use the listeners, as configured or as the addresses that may use them say. */
export function securityMode({ security, server }: Config): 'closed' | 'compat' | 'mtls' {
  return security.mode ?? (server.allow_from.length > 0 ? 'compat' : 'closed')
}

const REMEDY = {
  closed: 'name those that may use it in server.allow_from (security.mode compat), or let certificates decide (mtls)',
  compat: 'name those that may use it in server.allow_from',
  mtls: 'in security.mode mtls plain HTTP stays on loopback; enable server.http.tls for other machines',
}

function checkWhole(config: Config, name: string): void {
  const { server } = config
  const { tls } = server.http
  if (tls.enabled && !server.http.enabled)
    throw new AgentError('CONFIG_INVALID', `${name}: server.http.tls.enabled needs server.http.enabled`)
  if (tls.cert_path === tls.key_path)
    throw new AgentError('CONFIG_INVALID', `${name}: server.http.tls: cert_path and key_path must be two files`)
  const { acme } = tls
  if ((tls.mode === 'acme' || acme.enabled) && acme.challenge_type !== 'http-01')
    throw new AgentError('CONFIG_INVALID', `${name}: server.http.tls.acme.challenge_type: only http-01 is built in`)
  const isOpen = (address: string) => !isLoopback(splitListenAddress(address).host)
  const encrypted = [server.listen_address, ...(tls.enabled ? [tls.listen_address] : [])]
  const plain = server.http.enabled ? [server.http.listen_address] : []
  const mode = securityMode(config)
  const open = (mode === 'mtls' ? plain : [...encrypted, ...plain]).filter(isOpen).join(', ')
  if (open !== '' && (mode !== 'compat' || server.allow_from.length === 0))
    throw new AgentError('CONFIG_INVALID', `${name}: ${open} is reachable from other machines; ${REMEDY[mode]}`)
  allowedPeers(server.allow_from)
}

/** Whether a listener on this host name or address is reachable from this machine only. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || /^127\./.test(host)
}

function applyOverrides(file: unknown, overrides: ConfigOverrides): unknown {
  const at = (target: Record<string, unknown>, key: string): Record<string, unknown> => {
    const inner = target[key] ?? {}
    target[key] = inner
    return inner as Record<string, unknown>
  }
  if (typeof file !== 'object' || file === null || Array.isArray(file)) return file
  const root = structuredClone(file) as Record<string, unknown>
  if (overrides.logLevel !== undefined) at(root, 'log')['level'] = overrides.logLevel
  if (overrides.listen !== undefined) at(root, 'server')['listen_address'] = overrides.listen
  if (overrides.httpListen !== undefined) at(at(root, 'server'), 'http')['listen_address'] = overrides.httpListen
  const https = {
    enabled: overrides.enableHttps,
    listen_address: overrides.httpsListen,
    cert_path: overrides.tlsCert,
    key_path: overrides.tlsKey,
    redirect_http: overrides.redirectHttp,
    redirect_port: overrides.redirectPort === undefined ? undefined : Number(overrides.redirectPort),
  }
  for (const [key, value] of Object.entries(https))
    if (value !== undefined) at(at(at(root, 'server'), 'http'), 'tls')[key] = value
  if (overrides.controlPlane !== undefined) at(root, 'control_plane')['address'] = overrides.controlPlane
  if (overrides.register !== undefined) at(root, 'control_plane')['registration_enabled'] = overrides.register
  if (overrides.libvirtUri !== undefined) at(root, 'hypervisor')['libvirt_uri'] = overrides.libvirtUri
  if (overrides.nodeId !== undefined) at(root, 'node')['id'] = overrides.nodeId
  if (overrides.stateDir !== undefined) at(root, 'paths')['state_dir'] = overrides.stateDir
  return root
}
