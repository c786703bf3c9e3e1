import type { AgentClient } from './agent-client.ts'
import type { CommandLine } from './command-line.ts'
import { findVm } from './find-vm.ts'
import { watchJob } from './jobs-command.ts'

/** `vms migrate VM URL` at the host where a VM is, `vms expect VM-ID` where it goes. Returns the exit code. */
export async function migrationCommand(
  action: 'migrate' | 'expect',
  line: CommandLine,
  agent: AgentClient,
): Promise<number> {
  if (action === 'expect') {
    const vmId = line.required('the id of a VM')
    line.end()
    const { token } = (await agent.call('POST', '/api/v1/migrations/announce', { vmId })) as { token: string }
    await agent.call('POST', '/api/v1/migrations/receive', { vmId, token })
    return 0
  }
  const path = `/api/v1/vms/${await findVm(line.required('the id or name of a VM'), agent)}/migrate`
  const target = line.required('the URL of the agent of the other host')
  const body = { target, copyStorage: line.flag('copy-storage') }
  const onlyCheck = line.flag('check')
  line.end()
  if (onlyCheck) {
    const { problems } = (await agent.call('POST', `${path}/check`, body)) as { problems: readonly string[] }
    line.print({ problems }, () => problems.map((problem) => `${problem}\n`).join(''))
    return problems.length === 0 ? 0 : 1
  }
  const { jobId } = (await agent.call('POST', path, body)) as { jobId: string }
  return watchJob(`/api/v1/jobs/${encodeURIComponent(jobId)}`, line, agent)
}
