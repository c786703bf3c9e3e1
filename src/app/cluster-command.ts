import { parseArgs } from 'node:util'
import { createAgentClient } from '../cli/agent-client.ts'
import {
  joinCommand,
  leaveCommand,
  statusCommand,
  tokenCommand,
  type CommandContext,
  type JoinOptions,
} from '../cli/cluster-commands.ts'
import { readPem } from '../cli/read-pem.ts'
import { AgentError, toAgentError } from '../core/errors.ts'
import { DEFAULT_CONFIG_FILE, isLoopback, loadConfig, splitListenAddress } from './config.ts'
import { stateLayout } from './layout.ts'

interface ClusterCommand {
  readonly help: string
  run(context: CommandContext, values: JoinOptions & { readonly url: string }): Promise<void>
  readonly takesUrl?: true
}

const COMMON = `
Options:
  -c, --config FILE   configuration of the agent (default ${DEFAULT_CONFIG_FILE}); its state directory has the socket
  -h, --help
`

/** Commands that talk to the running agent, by name. */
export const CLUSTER_COMMANDS: Readonly<Record<string, ClusterCommand>> = {
  join: {
    takesUrl: true,
    help: `Usage: limiquantix-node join URL [--token TOKEN | --token-file FILE] [--ca FILE] [--enrol] [--config FILE]

Registers this host at the control plane and keeps the link up from then on; the running agent needs no restart.
The token is that of this host (limiquantix-node token). Root on the host needs none; one that is given has to be right.

  limiquantix-node join http://192.0.2.1:8080
${COMMON}      --token TOKEN   registration token of this host
      --token-file FILE       has the token in it (/dev/stdin: standard input), which other users of the host cannot see then
      --ca FILE       authority that may sign certificates of clients from now on, as certificate install --ca does
      --enrol         have that authority sign a certificate for this host first (EST, RFC 7030); it is renewed in time.
                      Needs a token, which the authority has to know too; a certificate that does not fit is not used
      --enrol-url URL         of the EST server, https; default: the control plane
      --ca-fingerprint SHA256 of the authority's certificate, in place of --ca with --enrol
`,
    run: (context, { url, ...options }) => joinCommand(context, url, options),
  },
  leave: {
    help: `Usage: limiquantix-node leave [--config FILE]

Ends the link to the control plane and forgets the node id it gave. Pools and VMs stay as they are.
${COMMON}`,
    run: (context) => leaveCommand(context),
  },
  status: {
    help: `Usage: limiquantix-node status [--config FILE]

Shows the running agent and its link: control plane, node id, last acknowledged heartbeat.
${COMMON}`,
    run: (context) => statusCommand(context),
  },
  token: {
    help: `Usage: limiquantix-node token [--config FILE]

Makes a registration token, good for one hour and one registration, and prints what to type where the control plane adds a host.
${COMMON}`,
    run: (context) => tokenCommand(context),
  },
}

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  token: { type: 'string' },
  'token-file': { type: 'string' },
  ca: { type: 'string' },
  enrol: { type: 'boolean' },
  'enrol-url': { type: 'string' },
  'ca-fingerprint': { type: 'string' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Runs one of them. USAGE; errors of the agent as it words them. */
export async function runClusterCommand(command: ClusterCommand, args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(args)
  const print = (line: string) => void process.stdout.write(`${line}\n`)
  if (values.help) {
    process.stdout.write(command.help)
    return
  }
  const [url = '', ...rest] = positionals
  const takesUrl = command.takesUrl === true
  const ofEnrolment = values['enrol-url'] ?? values['ca-fingerprint']
  const options = values.token ?? values['token-file'] ?? values.ca ?? values.enrol ?? ofEnrolment
  if (rest.length > 0 || takesUrl !== (url !== '') || (!takesUrl && options !== undefined)) {
    throw new AgentError('USAGE', `wrong arguments. ${command.help.split('\n', 1)[0]}`)
  }
  if (values.enrol !== true && ofEnrolment !== undefined)
    throw new AgentError('USAGE', '--enrol-url and --ca-fingerprint go with --enrol')
  const token = await tokenOf(values)
  if (values.enrol === true && token === '')
    throw new AgentError('USAGE', '--enrol needs --token-file or --token, by which the authority knows this host')
  const configFile = values.config ?? DEFAULT_CONFIG_FILE
  const config = await loadConfig(configFile)
  const { server, paths, hypervisor } = config
  // What other machines are to be told of: the plain listener, if they reach it.
  const { http } = server
  const isOpen = (address: string) => !isLoopback(splitListenAddress(address).host)
  const plain = isOpen(http.listen_address) || !http.tls.enabled
  const shown = plain ? http.listen_address : http.tls.listen_address
  const context: CommandContext = {
    agent: createAgentClient(stateLayout(paths.state_dir, hypervisor.images_path).socket),
    scheme: plain ? 'http' : 'https',
    httpPort: splitListenAddress(shown).port,
    reachable: http.enabled && [server.listen_address, shown].every(isOpen),
    configFile,
    print,
  }
  const enrol = { url: values['enrol-url'] ?? url, caFingerprint: values['ca-fingerprint'] }
  const join = { token, ca: values.ca, ...(values.enrol === true ? { enrol } : {}) }
  await command.run(context, { url, ...join })
}

async function tokenOf({ token, 'token-file': file }: ReturnType<typeof parse>['values']): Promise<string> {
  if (file === undefined) return token ?? ''
  if (token !== undefined) throw new AgentError('USAGE', 'give --token or --token-file, not both')
  const given = (await readPem(file)).trim()
  if (given === '') throw new AgentError('USAGE', `${file} has no token in it`)
  return given
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: true })
  } catch (error) {
    throw new AgentError('USAGE', toAgentError(error).message.replace(/^internal error: /, ''))
  }
}
