import { parseArgs } from 'node:util'
import { stringify } from 'yaml'
import { AgentError, toAgentError } from '../core/errors.ts'
import { DEFAULT_CONFIG_FILE, loadConfig, type ConfigOverrides } from './config.ts'
import { VERSION } from './version.ts'

const HELP = `limiquantix-node ${VERSION}: node agent for hypervisor hosts

Usage:
  limiquantix-node serve [--config FILE] [options]   run the agent (what the systemd unit does)
  limiquantix-node check-config [--config FILE]      check the file and print it with all defaults
  limiquantix-node version                           print the version

Options of serve, each overriding the file:
  -c, --config FILE         configuration (default ${DEFAULT_CONFIG_FILE})
  -l, --log-level LEVEL     trace, debug, info, warn or error
      --listen HOST:PORT    gRPC listener
      --http-listen HOST:PORT
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
    const e = toAgentError(error)
    process.stderr.write(`limiquantix-node: ${e.message} [${e.reason}]\n`)
    if (!(error instanceof AgentError) && error instanceof Error) process.stderr.write(`${error.stack}\n`)
    return e.reason === 'CONFIG_INVALID' ? EX_CONFIG : 1
  }
}

function overridesOf(values: Record<string, string | boolean | undefined>): ConfigOverrides {
  const names = {
    'log-level': 'logLevel',
    listen: 'listen',
    'http-listen': 'httpListen',
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

function usage(problem: string): number {
  process.stderr.write(`limiquantix-node: ${problem}\nTry: limiquantix-node --help\n`)
  return 2
}
