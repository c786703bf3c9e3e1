import { AgentError } from '../core/errors.ts'
import type { AgentClient } from './agent-client.ts'
import type { CommandLine } from './command-line.ts'
import { findVm } from './find-vm.ts'
import { watchJob } from './jobs-command.ts'

/** `vms move-disk VM DISK --to POOL`; watches the job to its end and returns the exit code. Interrupted, it leaves the job at work. */
export async function moveDiskCommand(line: CommandLine, agent: AgentClient): Promise<number> {
  const vm = line.required('the id or name of a VM')
  const disk = line.required('the id of a disk')
  line.end()
  const { poolId } = line.body({ to: 'poolId' })
  if (poolId === undefined) throw new AgentError('USAGE', 'the pool is missing: --to POOL')
  const { rate } = line.body({ rate: 'rate' })
  const bytesPerSecond = rate === undefined ? 0 : bytesOf(rate)
  const body = { poolId, bytesPerSecond, dropCheckpoints: line.flag('drop-checkpoints') }
  const path = `/api/v1/vms/${await findVm(vm, agent)}/disks/${encodeURIComponent(disk)}/move`
  const { jobId } = (await agent.call('POST', path, body)) as { jobId: string }
  return watchJob(`/api/v1/jobs/${encodeURIComponent(jobId)}`, line, agent)
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30 }

function bytesOf(text: string): number {
  const [, digits, unit = ''] = /^(\d{1,9})([KMG]?)$/.exec(text) ?? []
  if (digits === undefined)
    throw new AgentError('USAGE', `--rate is a number of bytes per second, such as 50M, not ${JSON.stringify(text)}`)
  return Number(digits) * (UNITS[unit] ?? 1)
}
