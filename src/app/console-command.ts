import { parseArgs } from 'node:util'
import { createAgentClient } from '../cli/agent-client.ts'
import { consoleCommand } from '../cli/console-command.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { DEFAULT_CONFIG_FILE, loadConfig } from './config.ts'
import { stateLayout } from './layout.ts'

const HELP = `Usage: limiquantix-node console VM [--force] [--config FILE]

The serial console of a running VM on this terminal. Ctrl-] ends it; the VM goes on.

Options:
      --force         take the console from whoever has it
  -c, --config FILE   configuration of the agent (default ${DEFAULT_CONFIG_FILE}); its state directory has the socket
      --socket FILE   the socket itself
  -h, --help
`

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  socket: { type: 'string' },
  force: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Runs `console`. USAGE; errors of the agent as it words them. */
export async function runConsoleCommand(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(args)
  if (values.help) {
    process.stdout.write(HELP)
    return
  }
  const [name, ...rest] = positionals
  if (name === undefined || rest.length > 0) throw usage('name one VM by its id or name')
  const socket = values.socket ?? (await socketOf(values.config))
  const tell = (line: string) => void process.stderr.write(`${line}\r\n`)
  const terminal = { input: process.stdin, output: process.stdout, tell }
  await consoleCommand(createAgentClient(socket), socket, { name, force: values.force === true }, terminal)
}

async function socketOf(configFile = DEFAULT_CONFIG_FILE): Promise<string> {
  const { paths, hypervisor } = await loadConfig(configFile)
  return stateLayout(paths.state_dir, hypervisor.images_path).socket
}

const usage = (text: string) => new AgentError('USAGE', `${text}; see limiquantix-node console --help`)

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: true })
  } catch (error) {
    throw usage(errorText(error))
  }
}
