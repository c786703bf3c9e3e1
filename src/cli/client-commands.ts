import { parseArgs } from 'node:util'
import { AgentError, errorText } from '../core/errors.ts'
import { createAgentClient } from './agent-client.ts'
import { backupsCommand } from './backups-command.ts'
import { certificateCommand } from './certificate-command.ts'
import { CommandLine, type Print } from './command-line.ts'
import { eventsCommand } from './events-command.ts'
import { imagesCommand } from './images-command.ts'
import { vmsCommand } from './vms-command.ts'
import { jobsCommand } from './jobs-command.ts'

/** Commands that ask the running agent, by name. */
const COMMANDS = {
  events: eventsCommand,
  backups: backupsCommand,
  jobs: jobsCommand,
  images: imagesCommand,
  certificate: certificateCommand,
  vms: vmsCommand,
} as const

const OPTIONS = {
  config: { type: 'string', short: 'c' },
  socket: { type: 'string' },
  json: { type: 'boolean' },
  kind: { type: 'string' },
  vm: { type: 'string' },
  level: { type: 'string' },
  type: { type: 'string' },
  state: { type: 'string' },
  resource: { type: 'string' },
  limit: { type: 'string' },
  pool: { type: 'string' },
  directory: { type: 'string' },
  name: { type: 'string' },
  mode: { type: 'string' },
  since: { type: 'string' },
  lifetime: { type: 'string' },
  complete: { type: 'boolean' },
  checksum: { type: 'string' },
  sums: { type: 'string' },
  connections: { type: 'string' },
  cert: { type: 'string' },
  key: { type: 'string' },
  ca: { type: 'string' },
  'ca-fingerprint': { type: 'string' },
  'token-file': { type: 'string' },
  'copy-storage': { type: 'boolean' },
  check: { type: 'boolean' },
  to: { type: 'string' },
  rate: { type: 'string' },
  'drop-checkpoints': { type: 'boolean' },
} as const

/** Their part of the help. */
export const CLIENT_HELP = `  limiquantix-node events [list|follow]              what happened on this host (--vm --level warning|error --type --limit)
  limiquantix-node jobs [list]                       jobs of the running agent (--kind --state --resource --limit)
  limiquantix-node jobs show|log|watch|cancel|retry JOB
  limiquantix-node images [list]                     images and ISOs of this host (--pool, --kind iso|disk)
  limiquantix-node images catalog|scan               what can be downloaded by name; look for images now
  limiquantix-node images download CATALOG-ID|URL    and wait (--pool --directory --name --checksum --sums URL --connections 1..8)
  limiquantix-node images rm ID|PATH                 delete an image that nobody uses
  limiquantix-node vms [list]                        VMs of this host
  limiquantix-node vms start|stop|force-stop|reboot|reset|pause|resume|save|drop-saved VM
  limiquantix-node vms take-over VM                  start it although another, dead host has it
  limiquantix-node vms autostart VM on|off           start it when the host has booted
  limiquantix-node vms move-disk VM DISK --to POOL   move a disk, under a running VM too, and wait (--rate 50M --drop-checkpoints)
  limiquantix-node vms migrate VM URL                move it to the host of that agent, and wait (--check --copy-storage)
  limiquantix-node vms expect VM-ID                  let that VM come to this host, once, within ten minutes
  limiquantix-node backups list [VM]                 backups in the pools of this host, of a VM or of all
  limiquantix-node backups create VM                 and wait (--pool, --name, --mode incremental|full)
  limiquantix-node backups restore VM NAME           into new volumes of --pool, called after --name; compared with the backup
  limiquantix-node backups rm VM NAME                delete a backup that no later one needs
  limiquantix-node backups export VM                 serve its disks over NBD (--since CHECKPOINT --name --mode --pool --lifetime SECONDS)
  limiquantix-node backups exports VM                what is served
  limiquantix-node backups end VM EXPORT             end that; --complete when all of it was read and is kept
  limiquantix-node backups forget VM EXPORT          the checkpoint that a complete one left in the VM, so that it can have snapshots again
  limiquantix-node certificate [show]                certificate of this host and authorities of its clients
  limiquantix-node certificate request               a signing request for a new key, on standard output
  limiquantix-node certificate install               use --cert FILE (with --key FILE, if not by request) and --ca FILE
  limiquantix-node certificate enrol URL             have an EST server sign one: --token-file FILE, --ca FILE or --ca-fingerprint
  limiquantix-node certificate generate              a self-signed certificate in place of the one there is

Options of all of these: --json, --config FILE, --socket FILE (default: by the configuration)
`

/** True for a command that asks the running agent. */
export function isClientCommand(name: string): name is keyof typeof COMMANDS {
  return Object.hasOwn(COMMANDS, name)
}

/**
 * Runs a command against the agent whose socket is given by `--socket`, else by `socketOf` (config file, if given). Returns the exit code. Errors: USAGE, AGENT_UNREACHABLE, AGENT_REFUSED, those of
 * `socketOf`.
 */
export async function runClientCommand(
  name: keyof typeof COMMANDS,
  args: readonly string[],
  socketOf: (configFile: string | undefined) => Promise<string>,
  print: Print,
): Promise<number> {
  const { values, positionals } = parse(args)
  const socket = values.socket ?? (await socketOf(values.config))
  return COMMANDS[name](new CommandLine(positionals, values, print), createAgentClient(socket))
}

function parse(args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, strict: true, allowPositionals: true })
  } catch (error) {
    throw new AgentError('USAGE', errorText(error))
  }
}
