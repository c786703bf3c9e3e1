import { parseArgs } from 'node:util'
import { stringify } from 'yaml'
import { CLIENT_HELP, isClientCommand, runClientCommand } from '../cli/client-commands.ts'
import { AgentError, toAgentError } from '../core/errors.ts'
import { runAuditCommand } from './audit-command.ts'
import { CLUSTER_COMMANDS, runClusterCommand } from './cluster-command.ts'
import { runConsoleCommand } from './console-command.ts'
import { DEFAULT_CONFIG_FILE, loadConfig, type ConfigOverrides } from './config.ts'
import { stateLayout } from './layout.ts'
import { VERSION } from './version.ts'

const HELP = `limiquantix-node ${VERSION}: node agent for hypervisor hosts

Usage:
  limiquantix-node serve [--config FILE] [options]   run the agent (what the systemd unit does)
  limiquantix-node check-config [--config FILE]      check the file and print it with all defaults
  limiquantix-node version                           print the version
${CLIENT_HELP}
  limiquantix-node status                            the running agent and its link to a control plane
  limiquantix-node token                             make a registration token: a control plane adds this host with it
  limiquantix-node join URL                          register at the control plane and stay linked to it
  limiquantix-node leave                             end that; pools and VMs stay
  limiquantix-node console VM                        the serial console of a VM on this terminal
  limiquantix-node audit verify|show                 the log of every call that changed something
  (each has --help)

Options of serve, each overriding the file:
  -c, --config FILE         configuration (default ${DEFAULT_CONFIG_FILE})
  -l, --log-level LEVEL     trace, debug, info, warn or error
      --listen HOST:PORT    gRPC listener
      --http-listen HOST:PORT
      --enable-https        HTTPS listener
      --https-listen HOST:PORT
      --tls-cert FILE       its certificate
      --tls-key FILE        and private key
      --redirect-http       answer plain HTTP with a redirect to HTTPS
      --redirect-port PORT  on this port (default 80)
      --state-dir DIR       where the agent keeps its state
      --libvirt-uri URI     for example qemu:///system
      --control-plane URL   base URL of the control plane
      --register            register there and send heartbeats
      --node-id ID          fixed agent id

Every key of the file: docs/configuration.md
`

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  'log-level': { type: 'string', short: 'l' },
  listen: { type: 'string' },
  'http-listen': { type: 'string' },
  'enable-https': { type: 'boolean' },
  'https-listen': { type: 'string' },
  'tls-cert': { type: 'string' },
  'tls-key': { type: 'string' },
  'redirect-http': { type: 'boolean' },
  'redirect-port': { type: 'string' },
  'state-dir': { type: 'string' },
  'libvirt-uri': { type: 'string' },
  'control-plane': { type: 'string' },
  register: { type: 'boolean' },
  'node-id': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

// sysexits.h: a configuration that is wrong stays wrong, so the unit does not try again.
const EX_CONFIG = 78

/** Runs one command of the program; returns the exit code: 0 ok, 1 failed, 2 wrong usage, 78 wrong configuration. */
export async function runCommand(command: string | undefined, args: readonly string[]): Promise<number> {
  if (command === undefined || command === 'help' || command === '--help' || command === '-h') {
    process.stdout.write(HELP)
    return command === undefined ? 2 : 0
  }
  if (command === 'version' || command === '--version') {
    process.stdout.write(`limiquantix-node ${VERSION} (node ${process.version})\n`)
    return 0
  }
  if (isClientCommand(command)) return clientCommand(command, args)
  if (command === 'console') return done(() => runConsoleCommand(args))
  if (command === 'audit') return done(() => runAuditCommand(args))
  const clusterCommand = Object.hasOwn(CLUSTER_COMMANDS, command) ? CLUSTER_COMMANDS[command] : undefined
  if (clusterCommand !== undefined) return done(() => runClusterCommand(clusterCommand, args))
  if (command !== 'serve' && command !== 'check-config') return usage(`unknown command ${JSON.stringify(command)}`)
  let values
  try {
    values = parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: false }).values
  } catch (error) {
    return usage(toAgentError(error).message.replace(/^internal error: /, ''))
  }
  if (values.help) {
    process.stdout.write(HELP)
    return 0
  }
  try {
    const config = await loadConfig(values.config ?? DEFAULT_CONFIG_FILE, overridesOf(values))
    if (command === 'check-config') {
      process.stdout.write(stringify(config))
      return 0
    }
    const { serve } = await import('./serve.ts')
    return await serve(config)
  } catch (error) {
    return failed(error)
  }
}

async function clientCommand(
  command: Parameters<typeof runClientCommand>[0],
  args: readonly string[],
): Promise<number> {
  try {
    return await runClientCommand(command, args, socketOf, (text) => process.stdout.write(text))
  } catch (error) {
    return failed(error)
  }
}

async function done(work: () => Promise<void>): Promise<number> {
  try {
    await work()
    return 0
  } catch (error) {
    return failed(error)
  }
}

async function socketOf(configFile: string | undefined): Promise<string> {
  const { paths, hypervisor } = await loadConfig(configFile ?? DEFAULT_CONFIG_FILE, {})
  return stateLayout(paths.state_dir, hypervisor.images_path).socket
}

function overridesOf(values: Record<string, string | boolean | undefined>): ConfigOverrides {
  const names = {
    'log-level': 'logLevel',
    listen: 'listen',
    'http-listen': 'httpListen',
    'enable-https': 'enableHttps',
    'https-listen': 'httpsListen',
    'tls-cert': 'tlsCert',
    'tls-key': 'tlsKey',
    'redirect-http': 'redirectHttp',
    'redirect-port': 'redirectPort',
    'state-dir': 'stateDir',
    'libvirt-uri': 'libvirtUri',
    'control-plane': 'controlPlane',
    register: 'register',
    'node-id': 'nodeId',
  } as const satisfies Record<string, keyof ConfigOverrides>
  return Object.fromEntries(
    Object.entries(names).flatMap(([flag, key]) => (values[flag] === undefined ? [] : [[key, values[flag]]])),
  )
}

function failed(error: unknown): number {
  const e = toAgentError(error)
  if (e.reason === 'USAGE') return usage(e.message)
  // What the agent refused has its reason in the message.
  process.stderr.write(`limiquantix-node: ${e.message}${e.reason === 'AGENT_REFUSED' ? '' : ` [${e.reason}]`}
`)
  if (!(error instanceof AgentError) && error instanceof Error)
    process.stderr.write(`${error.stack}
`)
  return e.reason === 'CONFIG_INVALID' ? EX_CONFIG : 1
}

function usage(problem: string): number {
  process.stderr.write(`limiquantix-node: ${problem}\nTry: limiquantix-node --help\n`)
  return 2
}
