import { parseArgs } from 'node:util'
import { auditShow, auditVerify } from '../cli/audit-command.ts'
import { AgentError, errorText } from '../core/errors.ts'
import { auditDirectory } from './audit.ts'
import { DEFAULT_CONFIG_FILE, loadConfig } from './config.ts'

const HELP = `Usage: limiquantix-node audit verify [--json]
       limiquantix-node audit show [--follow] [--limit N] [--method TEXT] [--object ID] [--json]

Reads the audit log of this host; the agent need not run. verify ends with 1 when lines were changed, removed or put in.

Options:
  -c, --config FILE     configuration of the agent (default ${DEFAULT_CONFIG_FILE}); it has the place of the log
      --directory DIR   read the log there, for example a copy
  -f, --follow          wait for more
      --limit N         only the last N
      --method TEXT     only calls whose name has TEXT in it
      --object ID       only calls about the VM, pool, job, … with this id
      --json            the lines as they are; verify: one object
  -h, --help
`

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  directory: { type: 'string' },
  follow: { type: 'boolean', short: 'f' },
  limit: { type: 'string' },
  method: { type: 'string' },
  object: { type: 'string' },
  json: { type: 'boolean' },
  help: { type: 'boolean', short: 'h' },
} as const

/** Runs `audit verify` or `audit show`. USAGE; AUDIT_BROKEN; CONFIG_INVALID. */
export async function runAuditCommand(args: readonly string[]): Promise<void> {
  const { values, positionals } = parse(args)
  const print = (text: string) => void process.stdout.write(text)
  if (values.help) {
    print(HELP)
    return
  }
  const [action, ...rest] = positionals
  if (rest.length > 0 || (action !== 'verify' && action !== 'show')) throw usage('say verify or show')
  if (values.limit !== undefined && !/^[1-9]\d{0,8}$/.test(values.limit)) throw usage('--limit takes a number')
  const directory = values.directory ?? auditDirectory(await loadConfig(values.config ?? DEFAULT_CONFIG_FILE))
  const json = values.json === true
  if (action === 'verify') return auditVerify(directory, json, print)
  const { method, object, follow = false } = values
  const limit = values.limit === undefined ? undefined : Number(values.limit)
  await auditShow(directory, { json, follow, limit, method, object, signal: endOfProcess() }, print)
}

const usage = (text: string) => new AgentError('USAGE', `${text}; see limiquantix-node audit --help`)

// Ends a --follow without an error.
function endOfProcess(): AbortSignal {
  const controller = new AbortController()
  process.once('SIGINT', () => controller.abort())
  return controller.signal
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: true })
  } catch (error) {
    throw usage(errorText(error))
  }
}
