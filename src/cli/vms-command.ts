import { formatBytes } from '../core/bytes.ts'
import { AgentError } from '../core/errors.ts'
import type { AgentClient } from './agent-client.ts'
import type { CommandLine } from './command-line.ts'
import { findVm } from './find-vm.ts'
import { migrationCommand } from './migration-command.ts'
import { moveDiskCommand } from './move-disk-command.ts'
import { textTable } from './text-table.ts'

interface VmAnswer {
  readonly vmId: string
  readonly name: string
  readonly state: string
  readonly managed: boolean
  readonly autostart: boolean
  readonly cpuCount: number
  readonly memoryBytes: number
  readonly problems: readonly { readonly message: string; readonly count: number }[]
}

/** Actions that are one request, by their words. */
const REQUESTS: Readonly<Record<string, readonly [method: string, path: string, body?: object]>> = {
  start: ['POST', 'start'],
  'take-over': ['POST', 'start', { takeOver: true }],
  stop: ['POST', 'stop'],
  'force-stop': ['POST', 'force-stop'],
  reboot: ['POST', 'reboot'],
  reset: ['POST', 'reset'],
  pause: ['POST', 'pause'],
  resume: ['POST', 'resume'],
  save: ['POST', 'save'],
  'drop-saved': ['DELETE', 'save'],
}

/** `vms list|start|stop|…|autostart`; VMs are named by id or name. Returns the exit code. */
export async function vmsCommand(line: CommandLine, agent: AgentClient): Promise<number> {
  const action = line.argument('list')
  if (action === 'list') {
    line.end()
    const { vms } = (await agent.call('GET', '/api/v1/vms')) as { vms: readonly VmAnswer[] }
    line.print({ vms }, () => vmTable(vms))
    return 0
  }
  if (action === 'migrate' || action === 'expect') return migrationCommand(action, line, agent)
  if (action === 'move-disk') return moveDiskCommand(line, agent)
  const request = REQUESTS[action]
  if (request === undefined && action !== 'autostart') return line.unknown(action)
  const vmId = await findVm(line.required('the id or name of a VM'), agent)
  if (request !== undefined) {
    line.end()
    await agent.call(request[0], `/api/v1/vms/${vmId}/${request[1]}`, request[2])
    return 0
  }
  const word = line.required('on or off')
  line.end()
  if (word !== 'on' && word !== 'off')
    throw new AgentError('USAGE', `autostart is on or off, not ${JSON.stringify(word)}`)
  await agent.call('PUT', `/api/v1/vms/${vmId}/autostart`, { enabled: word === 'on' })
  return 0
}

function vmTable(vms: readonly VmAnswer[]): string {
  const rows = vms.map(({ vmId, name, state, cpuCount, memoryBytes, autostart, managed, problems }) => [
    vmId,
    name,
    state.toLowerCase(),
    String(cpuCount),
    formatBytes(memoryBytes),
    autostart ? 'yes' : '-',
    managed ? 'agent' : 'foreign',
    problems.map(({ message, count }) => `${message} (${count} times)`).join('; '),
  ])
  return textTable(['ID', 'NAME', 'STATE', 'CPUS', 'MEMORY', 'AUTOSTART', 'MADE BY', 'PROBLEMS'], rows)
}
